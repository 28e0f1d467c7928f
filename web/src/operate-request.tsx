// One request: what it waits for or why it failed, where its time went, what it left, and what can be done about it.
import { useState } from 'preact/hooks';
import { ended, type Problem } from './api';
import { ask, asProblem, type Asked, type Attempt, span, type Story, type Stored, useFresh } from './desk';
import { bytes, count, day } from './format';
import { Retry } from './operate-retry';
import { Trouble } from './parts';

export function RequestPage({ id }: { id: string }) {
  const at = encodeURIComponent(id);
  const [story, problem, again] = useFresh<Story>(`/trace/${at}`);
  const [asked, unknown] = useFresh<Asked>(`/status/${at}`);
  if (!story) return <section><h1>Request</h1><Trouble problem={problem} />{!problem && <p role="status">Reading its story…</p>}<p><a href="#/">Back to the queue</a></p></section>;
  return (
    <section class="request">
      <p class="no-print"><a href="#/">Back to the queue</a></p>
      <h1>{story.session_id}</h1>
      <p class="muted"><span class={`pill ${story.status}`}>{story.status}</span> <code>{story.request_id}</code> · {day(story.created_at)}{story.caller && ` · from ${story.caller}`}</p>
      <Trouble problem={problem} />
      {story.now && <div class={`note ${story.status === 'FAILED' ? 'bad' : 'warn'}`}><p>{story.now}</p>{story.advice && <p>{story.advice}</p>}</div>}
      <dl class="tiles">
        <div><dt>{story.finished_at ? 'Took' : 'So far'}</dt><dd>{span(story.sum.total_s)}</dd><dd>{span(story.sum.work_s)} of it work</dd></div>
        <div><dt>Waited</dt><dd>{span(story.sum.wait_s)}</dd><dd>and {span(story.sum.launch_s)} for workers to start</dd></div>
        {story.sum.cost_usd ? <div><dt>Cost</dt><dd>{story.sum.cost_usd.toFixed(4)} USD</dd><dd>an estimate</dd></div> : null}
        {asked && <div><dt>Priority</dt><dd>{asked.priority}</dd><dd>{asked.position ? `place ${asked.position} in line` : asked.progress.step && !ended(asked.status) ? `${asked.progress.step}, ${Math.round(asked.progress.percent)} %` : ''}</dd></div>}
      </dl>
      <Waterfall story={story} />
      {story.stages.map(s => <Failures key={s.stage} stage={s.stage} attempts={s.attempts} />)}
      <Figures story={story} />
      <Objects at={at} />
      {asked && <details><summary>Options</summary><pre tabIndex={0}>{JSON.stringify(asked.options, null, 2)}</pre></details>}
      {story.trace_id && <p class="muted">In the log: trace <code>{story.trace_id}</code></p>}
      {asked && !ended(asked.status) && <Cancel at={at} title={story.session_id} done={again} />}
      {asked && ended(asked.status) && <Retry asked={asked} />}
      {unknown && <p class="muted">The queue has forgotten it, so it can be neither retried nor canceled.</p>}
    </section>
  );
}

// Waterfall is one line an attempt, on one axis of time: the wait, the launch of a worker, the work.
function Waterfall({ story }: { story: Story }) {
  const total = Math.max(story.sum.total_s, 1e-3);
  const x = (s: number) => `${Math.min(100, (100 * s) / total).toFixed(3)}%`;
  return (
    <section aria-label="Where the time went">
      <h2>Where the time went</h2>
      <p class="legend muted"><span class="key wait" />waits <span class="key launch" />a worker starts <span class="key work" />works</p>
      <div class="wide" tabIndex={0} role="region" aria-label="Attempts">
        <table class="figures waterfall">
          <thead><tr><th scope="col">Stage</th><th scope="col" class="said">Attempt</th><th scope="col" class="said">Time</th><th scope="col">Waits</th><th scope="col">Starts</th><th scope="col">Works</th><th scope="col">USD</th></tr></thead>
          <tbody>
            {story.stages.flatMap(s => s.attempts.map((a, i) => (
              <tr key={s.stage + i} class={a.outcome}>
                <th scope="row">{s.stage}</th>
                <td class="said">{a.attempt} {a.outcome}</td>
                <td class="bar"><svg aria-hidden="true" height="14"><rect class="wait" x={x(a.from_s)} width={x(a.wait_s)} height="14" /><rect class="launch" x={x(a.from_s + a.wait_s)} width={x(a.launch_s)} height="14" /><rect class="work" x={x(a.from_s + a.wait_s + a.launch_s)} width={x(a.work_s)} height="14" /></svg></td>
                <td>{span(a.wait_s)}</td><td>{span(a.launch_s)}</td><td>{span(a.work_s)}</td><td>{a.cost_usd ? a.cost_usd.toFixed(4) : ''}</td>
              </tr>
            )))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function Failures({ stage, attempts }: { stage: string; attempts: Attempt[] }) {
  const failed = attempts.filter(a => a.code || a.log?.length);
  return (
    <>
      {failed.map((a, i) => (
        <section key={i} class="failure" aria-label={`${stage}, attempt ${a.attempt}`}>
          <h2>{stage}, attempt {a.attempt}: {a.outcome}</h2>
          <p>{a.message} {a.code && <code>{a.code}</code>}</p>
          {a.worker && <p class="muted">Worker <code>{a.worker}</code></p>}
          {a.cause && <details><summary>Cause</summary><pre tabIndex={0}>{a.cause}</pre></details>}
          {a.log && a.log.length > 0 && <details open><summary>The last lines of its programs</summary><pre tabIndex={0}>{a.log.join('\n')}</pre></details>}
        </section>
      ))}
    </>
  );
}

function Figures({ story }: { story: Story }) {
  const rows = story.stages.flatMap(s => [
    ...(s.steps ?? []).map(p => ({ stage: s.stage, name: p.name, runs: '', wall: p.wall_s, cpu: '' })),
    ...(s.programs ?? []).map(p => ({ stage: s.stage, name: p.name, runs: count(p.runs), wall: p.wall_s, cpu: span(p.cpu_s) })),
  ]);
  if (!rows.length) return null;
  return (
    <details>
      <summary>Steps and programs</summary>
      <div class="wide" tabIndex={0} role="region" aria-label="Steps and programs">
        <table class="figures">
          <thead><tr><th scope="col">Stage</th><th scope="col" class="said">What</th><th scope="col">Runs</th><th scope="col">Time</th><th scope="col">Processor</th></tr></thead>
          <tbody>{rows.map((r, i) => <tr key={i}><th scope="row">{r.stage}</th><td class="said">{r.name}</td><td>{r.runs}</td><td>{span(r.wall)}</td><td>{r.cpu}</td></tr>)}</tbody>
        </table>
      </div>
    </details>
  );
}

// Objects are read when somebody wants to see them: a capture of photos has hundreds.
function Objects({ at }: { at: string }) {
  const [list, setList] = useState<Stored[]>();
  const [problem, setProblem] = useState<Problem>();
  const read = () => ask<{ objects: Stored[] }>(`/objects/${at}`).then(a => setList(a.objects), e => setProblem(asProblem(e)));
  return (
    <details onToggle={e => { if (e.currentTarget.open) void read(); }}>
      <summary>Artifacts</summary>
      <Trouble problem={problem} />
      {list && <p class="muted">{count(list.length)} objects, {bytes(list.reduce((n, o) => n + Number(o.size), 0))}</p>}
      {list && <ul class="files">{list.map(o => <li key={o.bucket + o.name}><code class="grow">{o.bucket}/{o.name}</code><span class="size">{bytes(Number(o.size))}</span></li>)}</ul>}
    </details>
  );
}

function Cancel({ at, title, done }: { at: string; title: string; done: () => void }) {
  const [problem, setProblem] = useState<Problem>();
  const stop = async () => {
    if (!confirm(`Cancel “${title}”? What was done so far is lost.`)) return;
    try {
      await ask(`/status/${at}`, 'PUT', { status: 'CANCELED' });
      done();
    } catch (e) {
      setProblem(asProblem(e));
    }
  };
  return <><Trouble problem={problem} /><p><button type="button" onClick={stop}>Cancel this request</button></p></>;
}
