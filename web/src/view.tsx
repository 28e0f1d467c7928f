// What `splatworks view` serves: the results of a folder, or one splat.
import { useEffect, useState } from 'preact/hooks';
import { call, offline, Problem, type Result } from './api';
import { Results } from './look';
import { Trouble } from './parts';

export function ViewPage({ report }: { report: boolean }) {
  const [doc, setDoc] = useState<{ title: string; results: Result[] }>();
  const [problem, setProblem] = useState<Problem>();
  useEffect(() => {
    call('./view.json').then(a => a.json()).then(setDoc, e => setProblem(e instanceof Problem ? e : offline()));
  }, []);
  if (problem) return <section><h1>Nothing to look at</h1><Trouble problem={problem} /></section>;
  if (!doc) return <p role="status">Loading…</p>;
  return <Results title={doc.title} results={doc.results} report={report} home="#/view" />;
}
