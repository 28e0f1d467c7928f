// What is where: the queue by stage, the requests, and what is old.
import { useState } from 'preact/hooks';
import type { Problem } from './api';
import { ask, asProblem, type Asked, type Overview, span, useFresh } from './desk';
import { bytes, count, day, plural } from './format';
import { Trouble } from './parts';

export function Desk() {
  const [overview, problem] = useFresh<Overview>('/queue');
  return (
    <section>
      <h1>Queue</h1>
      <Trouble problem={problem} />
      {overview && <Stages overview={overview} />}
      <Requests overview={overview} />
      <Purge />
    </section>
  );
}

function Stages({ overview }: { overview: Overview }) {
  return (
    <div class="wide" tabIndex={0} role="region" aria-label="Queue by stage">
      <table class="figures queue">
        <thead><tr><th scope="col">Stage</th><th scope="col">Ready</th><th scope="col">At work</th><th scope="col">Delayed</th><th scope="col">Workers</th><th scope="col">Oldest waits</th></tr></thead>
        <tbody>
          {Object.entries(overview.stages).sort(inOrder).map(([name, l]) => (
            <tr key={name}><th scope="row">{name}</th><td>{l.ready}</td><td>{l.leased}</td><td>{l.delayed}</td><td>{l.workers} of {l.slots}</td><td>{l.oldest_ready_s ? span(l.oldest_ready_s) : ''}</td></tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

export const stages = ['filter', 'preprocess', 'depth', 'train', 'export'];
const inOrder = ([a]: [string, unknown], [b]: [string, unknown]) => stages.indexOf(a) - stages.indexOf(b);
const statuses = ['QUEUED', 'PROCESSING', 'COMPLETED', 'FAILED', 'CANCELED'];

function Requests({ overview }: { overview?: Overview }) {
  const [status, setStatus] = useState('');
  const [stage, setStage] = useState('');
  const [search, setSearch] = useState('');
  const [pages, setPages] = useState<string[]>(['']); // cursors, this page's last
  const filter = <T,>(set: (v: T) => void) => (v: T) => { set(v); setPages(['']); };
  const query = new URLSearchParams({ order: 'newest', limit: '25' });
  for (const [name, value] of Object.entries({ status, stage, search: search.trim(), cursor: pages[pages.length - 1]! })) if (value) query.set(name, value);
  const [page, problem] = useFresh<{ requests: Asked[]; next_cursor?: string }>('/requests?' + query);
  return (
    <section aria-label="Requests">
      <h2>Requests</h2>
      <form class="filters" role="search" onSubmit={e => e.preventDefault()}>
        <label class="field">Search<input type="search" value={search} placeholder="Session, id or caller" onInput={e => filter(setSearch)(e.currentTarget.value)} /></label>
        <label class="field">Status<select value={status} onChange={e => filter(setStatus)(e.currentTarget.value)}><option value="">Every</option>{statuses.map(s => <option key={s} value={s}>{s}{overview ? ` (${count(overview.statuses[s] ?? 0)})` : ''}</option>)}</select></label>
        <label class="field">Stage<select value={stage} onChange={e => filter(setStage)(e.currentTarget.value)}><option value="">Every</option>{stages.map(s => <option key={s} value={s}>{s}</option>)}</select></label>
      </form>
      <Trouble problem={problem} />
      {page && page.requests.length === 0 && <p>{page.next_cursor ? 'None on this page; there may be more.' : 'None.'}</p>}
      {page && page.requests.length > 0 && (
        <ul class="captures asked">
          {page.requests.map(r => (
            <li key={r.request_id}>
              <a href={`#/r/${r.request_id}`}><strong>{r.session_id}</strong><span class="muted">{day(r.created_at)}{r.caller && `, ${r.caller}`} · <code>{r.request_id}</code></span><span class="muted">{doing(r)}</span></a>
              <span class={`pill ${r.status}`}>{r.status}</span>
            </li>
          ))}
        </ul>
      )}
      <p class="pages">
        {pages.length > 1 && <button type="button" onClick={() => setPages(pages.slice(0, -1))}>Newer</button>}
        {page?.next_cursor && <button type="button" onClick={() => setPages([...pages, page.next_cursor!])}>Older</button>}
      </p>
    </section>
  );
}

function doing(r: Asked): string {
  if (r.status === 'FAILED' && r.failure) return `${r.failure.code}: ${r.failure.message}`;
  if (r.status !== 'PROCESSING' && r.status !== 'QUEUED') return '';
  const place = r.position ? `place ${r.position} in line` : r.retry_at ? `retried at ${day(r.retry_at)}` : r.progress.step;
  return [r.stage ?? 'waits for its upload', r.stage && place, r.attempt && r.attempt > 1 ? `attempt ${r.attempt}` : ''].filter(Boolean).join(', ');
}

type Purged = { requests: number; objects: number; bytes: number };

function Purge() {
  const [days, setDays] = useState('30');
  const [found, setFound] = useState<Purged & { days: string }>();
  const [done, setDone] = useState('');
  const [problem, setProblem] = useState<Problem>();
  const [busy, setBusy] = useState(false);
  const purge = async (dry: boolean) => {
    setBusy(true);
    setProblem(undefined);
    setDone('');
    try {
      const p = await ask<Purged>('/purge', 'POST', { older_than_s: Number(days) * 86400, dry_run: dry });
      if (dry) setFound({ ...p, days });
      else {
        setFound(undefined);
        setDone(`Deleted: ${plural(p.requests, 'request')}, ${plural(p.objects, 'object')}, ${bytes(p.bytes)}.`);
      }
    } catch (e) {
      setProblem(asProblem(e));
    }
    setBusy(false);
  };
  return (
    <section aria-label="Purge">
      <h2>Purge</h2>
      <p class="muted">Deletes everything that requests left which ended long ago: uploads, results, shares. A request that has not ended stays.</p>
      <form class="filters" onSubmit={e => { e.preventDefault(); void purge(true); }}>
        <label class="field">Ended more days ago than<input type="number" min="1" max="3650" value={days} onInput={e => { setDays(e.currentTarget.value); setFound(undefined); }} /></label>
        <p><button type="submit" disabled={busy}>Count them</button></p>
      </form>
      <Trouble problem={problem} />
      {done && <p role="status">{done}</p>}
      {found && (
        <div class="note warn" role="status">
          <p>{plural(found.requests, 'request')}, {plural(found.objects, 'object')}, {bytes(found.bytes)}.</p>
          {found.objects > 0 && <p><button type="button" disabled={busy} onClick={() => confirm(`Delete what ${plural(found.requests, 'request')} left? There is no way back.`) && void purge(false)}>Delete all of it</button></p>}
        </div>
      )}
    </section>
  );
}
