// One capture: its upload, then how it goes, then what came out.
import { useEffect, useRef, useState } from 'preact/hooks';
import { cancel, ended, follow, type Preview, Problem, type Status } from './api';
import { type Capture, capture, change, useCaptures } from './captures';
import { accept, bytes, day, left, plural } from './format';
import { later } from './later';
import { Results } from './look';
import { Bar, Trouble, Warnings } from './parts';
import { stageName, stageWhat } from './stages';
import { missing, start, useTransfer } from './transfer';
import { nearFirstCamera, Viewer } from './viewer';
import './look.css';

const SharePanel = later(() => import('./share').then(m => m.SharePanel));

export function CapturePage({ id, report }: { id: string; report: boolean }) {
  useCaptures();
  const c = capture(id);
  if (!c) return <section><h1>This browser does not know that capture</h1><p>Captures are kept in the browser that made them. <a href="#/captures">My captures</a></p></section>;
  return <Known c={c} report={report} />;
}

const home = (c: Capture) => `#/c/${c.id}`;

function Known({ c, report }: { c: Capture; report: boolean }) {
  const [status, setStatus] = useState<Status>();
  const [trouble, setTrouble] = useState<Problem>();
  const transfer = useTransfer(c.id);
  const sending = !!transfer && !transfer.problem;

  useEffect(() => {
    const abort = new AbortController();
    const received = (s: Status) => {
      const before = capture(c.id)?.status;
      setStatus(s);
      change(c.id, { status: s.status, percent: s.progress.percent, ...(s.stage ? { uploaded: true } : {}) });
      if (before && before !== s.status && ended(s.status)) announce(c.title, s);
    };
    const troubled = (p?: Problem) => {
      setTrouble(p);
      if (p?.code === 'unknown_request') change(c.id, { status: 'GONE' });
    };
    void follow(c.token, received, troubled, abort.signal);
    return () => abort.abort();
  }, [c.id]);
  useFreshLinks(c, status, setStatus);
  useEffect(() => {
    const done = ended(status?.status);
    document.title = (sending ? `${Math.floor((100 * transfer.sent) / Math.max(1, transfer.total))} % sent · ` : status && !done ? `${Math.floor(status.progress.percent)} % · ` : '') + c.title;
    return () => { document.title = 'Splatworks'; };
  });

  if (status?.status === 'COMPLETED' && status.results?.length)
    return <Results title={c.title} results={status.results} token={c.token} warnings={status.warnings} report={report} home={home(c)} share={<SharePanel token={c.token} title={c.title} />} />;
  const uploading = !c.uploaded && !ended(status?.status) && !status?.stage;
  return (
    <section class="capture">
      <p class="muted">{day(c.created)}</p>
      <h1>{c.title}</h1>
      {trouble && <Trouble problem={trouble} />}
      {uploading ? <Upload c={c} /> : status && <Watch status={status} c={c} />}
      {!uploading && !status && !trouble && <p role="status">Looking how it goes…</p>}
      {!ended(status?.status) && c.status !== 'GONE' && <Cancel c={c} onStatus={setStatus} />}
      {c.status === 'GONE' && <p>The server keeps requests for some time only. <a href="#/">Begin again</a></p>}
    </section>
  );
}

// useFreshLinks reads the status again while the page is open: links to results live a quarter of an hour.
function useFreshLinks(c: Capture, status: Status | undefined, set: (s: Status) => void) {
  useEffect(() => {
    if (status?.status !== 'COMPLETED') return;
    const abort = new AbortController();
    const timer = setInterval(() => void follow(c.token, set, () => undefined, abort.signal), 5 * 60_000);
    return () => {
      clearInterval(timer);
      abort.abort();
    };
  }, [c.id, status?.status]);
}

function announce(title: string, s: Status) {
  if (!('Notification' in window) || Notification.permission !== 'granted' || !document.hidden) return;
  const words = s.status === 'COMPLETED' ? 'Ready to look at.' : s.status === 'FAILED' ? s.failure?.message ?? 'It failed.' : 'It was canceled.';
  try {
    new Notification(title, { body: words });
  } catch {
    // Phones allow notifications from service workers only.
  }
}

function Upload({ c }: { c: Capture }) {
  const t = useTransfer(c.id);
  const [lost, setLost] = useState('');
  const total = c.parts.reduce((n, p) => n + p.size, 0);
  if (t && !t.problem) {
    const percent = (100 * t.sent) / Math.max(1, t.total);
    const s = t.speed > 0 ? left((t.total - t.sent) / t.speed) : '';
    return (
      <div class="stage now">
        <h2>Uploading</h2>
        <Bar label="Uploaded" percent={percent} />
        <p class="numbers"><span>{bytes(t.sent)} of {bytes(t.total)}</span>{t.waits ? <strong>No connection. It continues when there is one.</strong> : <span>{t.speed > 0 && `${bytes(Math.round(t.speed))}/s`}{s && ` · ${s}`}</span>}</p>
        <p class="muted">Leave this page open until the upload is done. After that you may close it.</p>
      </div>
    );
  }
  const again = (files: File[]) => {
    const gone = missing(c, files);
    if (gone.length) return setLost(`${gone[0]!.name}${gone.length > 1 ? ` and ${plural(gone.length - 1, 'other')}` : ''} is not among them, or was changed.`);
    setLost('');
    start(c.id, files);
  };
  const over = t?.problem && t.problem.code !== 'file_missing';
  return (
    <div class="stage now">
      <h2>{over ? 'The upload broke off' : 'The upload was interrupted'}</h2>
      <Trouble problem={t?.problem} />
      {!over && <>
        <p>Choose the same {c.parts.length === 1 ? 'file' : 'files'} again and it continues where it stopped: <strong>{c.parts.length === 1 ? c.parts[0]!.name : plural(c.parts.length, 'file')}</strong> ({bytes(total)}).</p>
        <label class="button primary">Choose again<input type="file" multiple accept={accept} onChange={e => again([...(e.currentTarget.files ?? [])])} /></label>
      </>}
      {over && <p><a class="button" href="#/">Start again</a></p>}
      {lost && <p class="note bad" role="alert">{lost}</p>}
    </div>
  );
}

function Watch({ status: s, c }: { status: Status; c: Capture }) {
  const percent = useRising(s.progress.percent);
  const time = useCountdown(s.eta_s);
  if (s.status === 'FAILED') return <><Failed status={s} /><Warnings list={s.warnings} /></>;
  if (s.status === 'CANCELED') return <p>You canceled this. <a href="#/">Begin another</a></p>;
  if (s.status === 'COMPLETED') return <p>It is done, but its files are not there: they are kept for some time only.</p>;
  const waits = s.queue_position ? (s.queue_position === 1 ? 'Next in line' : `${s.queue_position - 1} before you in line`) : '';
  return (
    <>
      <div class="overall">
        <Bar label="Whole reconstruction" percent={percent} />
        <p class="numbers"><strong>{Math.floor(percent)} %</strong><span>{waits || time}</span></p>
        <p class="visually-hidden" role="status">{`${stageName(s.stage ?? '')}, ${10 * Math.floor(percent / 10)} percent`}</p>
      </div>
      <ol class="stages">
        {s.progress.stages.map(line => {
          const now = line.stage === s.stage;
          const took = s.timings.stages?.find(t => t.stage === line.stage);
          return (
            <li key={line.stage} class={now ? 'now' : line.percent >= 100 ? 'done' : ''} aria-current={now ? 'step' : undefined}>
              <strong>{stageName(line.stage)}</strong>
              <span class="muted">{now ? step(s) : took ? `done in ${Math.max(1, Math.round(took.wall_s))} s` : stageWhat(line.stage)}</span>
              {now && <Bar label={stageName(line.stage)} percent={line.percent} />}
            </li>
          );
        })}
      </ol>
      <Growing preview={s.preview} title={c.title} keep={home(c)} />
      {s.failure && <p class="note warn">{s.failure.message} {s.failure.advice}</p>}
      <Notify />
      <p class="muted">You may close this page: the work continues, and you find it under My captures.{c.several && ` It has ${plural(c.parts.length, 'file')}.`}</p>
      <Warnings list={s.warnings} />
    </>
  );
}

// Growing shows what there is so far. It stays when nothing newer comes: the last one is not there any more once its stage has ended.
function Growing({ preview, title, keep }: { preview?: Preview; title: string; keep: string }) {
  const last = useRef(preview);
  if (preview && !(preview.kind === 'points' && last.current?.kind === 'splat')) last.current = preview;
  const shown = last.current;
  if (!shown) return null;
  return (
    <Viewer file={shown} title={title} start={nearFirstCamera} keep={keep} otherwise="It is not needed: the work continues.">
      <p class="sofar">{shown.kind === 'points' ? 'Where the pictures were taken, and points seen in several' : 'So far. It gets sharper while it is built'}</p>
    </Viewer>
  );
}

const step = (s: Status) => [s.progress.step, s.progress.message].filter(Boolean).join(', ') + (s.attempts > 1 ? ` (attempt ${s.attempts})` : '');

function Failed({ status: s }: { status: Status }) {
  return (
    <div class="note bad" role="alert">
      <h2>It did not work</h2>
      <p>{s.failure?.message}</p>
      <p>{s.failure?.advice}</p>
      <p class="muted"><code>{s.failure?.code}</code> in {s.failure?.stage ? stageName(s.failure.stage).toLowerCase() : 'the upload'} · request <code>{s.request_id}</code></p>
      <p><a class="button primary" href="#/">{s.failure?.retryable ? 'Try again' : 'Try with another capture'}</a></p>
    </div>
  );
}

function Cancel({ c, onStatus }: { c: Capture; onStatus: (s: Status) => void }) {
  const t = useTransfer(c.id);
  const [problem, setProblem] = useState<Problem>();
  const stop = async () => {
    if (!confirm(`Cancel “${c.title}”? What was done so far is lost.`)) return;
    t?.stop();
    try {
      const s = await cancel(c.token);
      change(c.id, { status: s.status });
      onStatus(s);
    } catch (e) {
      if (e instanceof Problem) setProblem(e);
    }
  };
  return <><Trouble problem={problem} /><p><button type="button" class="quiet" onClick={stop}>Cancel</button></p></>;
}

function Notify() {
  const [asked, setAsked] = useState(() => !('Notification' in window) || Notification.permission !== 'default');
  if (asked) return null;
  return <p><button type="button" onClick={async () => { await Notification.requestPermission(); setAsked(true); }}>Notify me when it is done</button></p>;
}

// useRising never falls: a stage that is retried starts from zero, and that is no reason to worry a person.
function useRising(now: number): number {
  const most = useRef(0);
  most.current = Math.max(most.current, now);
  return most.current;
}

// useCountdown smooths the estimate: earlier is believed at once, later only by and by.
function useCountdown(eta?: number): string {
  const end = useRef(0);
  const [, tick] = useState(0);
  useEffect(() => {
    if (eta === undefined) return;
    const said = Date.now() + eta * 1000;
    end.current = end.current === 0 || said < end.current ? said : end.current + 0.3 * (said - end.current);
    tick(n => n + 1);
  }, [eta]);
  useEffect(() => {
    const timer = setInterval(() => tick(n => n + 1), 5000);
    return () => clearInterval(timer);
  }, []);
  return end.current && eta !== undefined ? left(Math.max(0, (end.current - Date.now()) / 1000)) : '';
}
