// What somebody sees who was sent a link: #/s/TOKEN, or framed by another page at /embed#/s/TOKEN.
import { useEffect, useState } from 'preact/hooks';
import { offline, opened, type Opened, Problem } from './api';
import { Embedded, Results } from './look';
import { Trouble } from './parts';

export function SharedPage({ token, report, embedded }: { token: string; report: boolean; embedded: boolean }) {
  const [doc, setDoc] = useState<Opened>();
  const [problem, setProblem] = useState<Problem>();
  const title = doc?.title || 'A place in 3D';
  useEffect(() => {
    // Links to files live a quarter of an hour, and a revoked share is noticed.
    const read = () => opened(token).then(d => { setDoc(d); setProblem(undefined); }, e => {
      const p = e instanceof Problem ? e : offline();
      setProblem(p);
      if (p.status >= 400 && p.status < 500) setDoc(undefined);
    });
    void read();
    const timer = setInterval(read, 5 * 60_000);
    return () => clearInterval(timer);
  }, [token]);
  useEffect(() => {
    document.title = title;
    return () => { document.title = 'Splatworks'; };
  }, [title]);
  if (!doc) return problem ? <section><h1>Nothing to look at</h1><Trouble problem={problem} /></section> : <p role="status">Loading…</p>;
  if (embedded) return <Embedded title={title} results={doc.results} notes={doc.notes} page={`./#/s/${token}`} />;
  return <Results title={title} results={doc.results} notes={doc.notes} report={report} home={`#/s/${token}`} />;
}
