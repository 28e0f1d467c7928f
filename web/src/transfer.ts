// The uploads of this page. They continue while the person looks at another capture.
import { useEffect, useReducer } from 'preact/hooks';
import { type Link, post, Problem } from './api';
import { type Capture, capture, change, changePart } from './captures';
import { open, send } from './upload';

export type Transfer = { sent: number; total: number; speed: number; waits: boolean; problem?: Problem; stop: () => void };

const transfers = new Map<string, Transfer>();
const watchers = new Set<() => void>();
const publish = () => watchers.forEach(w => w());

export function useTransfer(id: string): Transfer | undefined {
  const [, again] = useReducer((n: number, _: void) => n + 1, 0);
  useEffect(() => {
    const w = () => again();
    watchers.add(w);
    return () => void watchers.delete(w);
  }, []);
  return transfers.get(id);
}

addEventListener('beforeunload', e => {
  if ([...transfers.values()].some(t => !t.problem)) e.preventDefault(); // an upload would have to be gone on with by hand
});

// missing are the files of a capture that are not among files, by name, size and date.
export const missing = (c: Capture, files: File[]) => c.parts.filter(p => !p.done && !find(p, files));
const find = (p: Capture['parts'][number], files: File[]) => files.find(f => f.name === p.name && f.size === p.size && f.lastModified === p.modified);

// start uploads the files of a capture, or continues with them. link is that of its one upload, when it was just made.
export function start(id: string, files: File[], link?: Link): void {
  const c = capture(id);
  if (!c || (transfers.has(id) && !transfers.get(id)!.problem)) return;
  const abort = new AbortController();
  const t: Transfer = { sent: 0, total: c.parts.reduce((n, p) => n + p.size, 0), speed: 0, waits: false, stop: () => abort.abort() };
  transfers.set(id, t);
  publish();
  const clock = speedometer();
  const progressed = (sent: number) => {
    t.sent = Math.max(t.sent, sent); // a repeated piece is no step back
    t.speed = clock(sent);
    publish();
  };
  run(c, files, link, progressed, waits => { t.waits = waits; publish(); }, abort.signal).then(
    () => { transfers.delete(id); publish(); },
    e => {
      if (abort.signal.aborted) transfers.delete(id);
      else t.problem = e instanceof Problem ? e : new Problem(0, 'unexpected', String(e), 'Start again.');
      publish();
    });
}

async function run(c: Capture, files: File[], link: Link | undefined, progressed: (n: number) => void, trouble: (waits: boolean) => void, signal: AbortSignal) {
  let before = c.parts.filter(p => p.done).reduce((n, p) => n + p.size, 0);
  const links = new Map<string, Link>();
  if (link && c.parts[0]) links.set(c.parts[0].name, link);
  for (const part of c.parts.filter(p => !p.done)) {
    const file = find(part, files);
    if (!file) throw new Problem(0, 'file_missing', `${part.name} is not among the files chosen.`, 'Choose the same files again.');
    let session = part.session;
    if (!session) {
      if (!links.has(part.name) && c.several) await ask(c, links);
      const its = links.get(part.name);
      if (!its) throw new Problem(0, 'upload_lost', 'This upload was never begun.', 'Start again.');
      session = await open(its);
      changePart(c.id, part.name, { session });
    }
    const from = before;
    await send(session, file, n => progressed(from + n), trouble, signal);
    changePart(c.id, part.name, { done: true });
    before += part.size;
  }
  if (c.several) await post('/uploads/complete', { names: c.parts.map(p => p.name) }, c.token);
  change(c.id, { uploaded: true });
}

// ask for the links of the next hundred files, which is what one call gives.
async function ask(c: Capture, links: Map<string, Link>) {
  const next = (capture(c.id) ?? c).parts.filter(p => !p.done && !p.session).slice(0, 100);
  const answer = await post<{ uploads: { name: string; upload: Link }[] }>('/uploads',
    { files: next.map(p => ({ name: p.name, size: p.size, content_type: p.type })) }, c.token);
  for (const u of answer.uploads) links.set(u.name, u.upload);
}

// speedometer measures bytes a second over the last ten seconds.
function speedometer() {
  const marks: [number, number][] = [];
  return (sent: number): number => {
    const now = performance.now();
    marks.push([now, sent]);
    while (marks.length > 2 && now - marks[0]![0] > 10000) marks.shift();
    const [t0, s0] = marks[0]!;
    return now - t0 > 500 ? Math.max(0, ((sent - s0) / (now - t0)) * 1000) : 0;
  };
}
