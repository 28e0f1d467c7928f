// What was chosen: what can be said of it early, two questions, and the start.
import { useEffect, useState } from 'preact/hooks';
import { deployment, type Options, Problem } from './api';
import { Estimate } from './estimate';
import { check, type Check, checkVideo, isPhoto, isVideo } from './files';
import { plural } from './format';
import { Trouble } from './parts';
import { submit } from './submit';

type Answers = { place: 'inside' | 'outside' | 'object'; effort: 'preview' | 'standard' | 'high'; sphere: boolean; light: boolean };

// options puts the answers into the words of the API.
function options(a: Answers): Options {
  const o: Options = { preset: a.effort };
  if (a.place === 'outside') o.sky = 'on';
  if (a.place === 'inside') o.sky = 'off';
  if (a.place === 'object') o.background_mode = 'random';
  if (a.sphere) o.projection = 'sphere';
  if (a.light) o.compensate_exposure = true;
  return o;
}

export function Chosen({ files }: { files: File[] }) {
  const found = useChecks(files);
  const [title, setTitle] = useState('');
  const [answers, setAnswers] = useState<Answers>({ place: 'inside', effort: 'standard', sphere: false, light: false });
  const [problem, setProblem] = useState<Problem>();
  const [busy, setBusy] = useState(false);
  const [apiKey, setKey] = useState(() => sessionStorage.getItem('splatworks.key') ?? '');
  const [mails, setMails] = useState(false);
  const [email, setEmail] = useState('');
  useEffect(() => void deployment().then(d => setMails(d.email), () => undefined), []);
  useEffect(() => {
    setTitle(files.length === 1 ? files[0]!.name.replace(/\.[^.]+$/, '') : plural(files.length, 'file'));
    setProblem(undefined);
  }, [files]);

  const begin = async (e: Event) => {
    e.preventDefault();
    if (found.problem || busy) return;
    setBusy(true);
    setProblem(undefined);
    try {
      location.hash = `#/c/${await submit(files, title.trim() || files[0]!.name, options(answers), apiKey, mails ? email.trim() : '')}`;
    } catch (e) {
      setProblem(e instanceof Problem ? e : new Problem(0, 'unexpected', String(e), 'Try again.'));
      setBusy(false);
    }
  };

  const set = (to: Partial<Answers>) => setAnswers({ ...answers, ...to });
  return (
    <form onSubmit={begin}>
      <Strip files={files} />
      <div aria-live="polite">
        {found.problem && <p class="note bad" role="alert">{found.problem}</p>}
        {!found.problem && found.hints.map(h => <p key={h} class="note warn">{h}</p>)}
      </div>
      {!found.problem && (
        <>
          <label class="field">Name<input name="title" value={title} maxLength={120} autocomplete="off" onInput={e => setTitle(e.currentTarget.value)} /></label>
          <fieldset>
            <legend>What did you capture?</legend>
            <div class="choices">
              <Choice name="place" value="inside" now={answers.place} set={place => set({ place })} title="Indoors" text="A room or a building" />
              <Choice name="place" value="outside" now={answers.place} set={place => set({ place })} title="Outdoors" text="With sky above" />
              <Choice name="place" value="object" now={answers.place} set={place => set({ place })} title="One thing" text="You walked around it" />
            </div>
          </fieldset>
          <fieldset>
            <legend>How much work should go into it?</legend>
            <div class="choices">
              <Choice name="effort" value="preview" now={answers.effort} set={effort => set({ effort })} title="Quick look" text="Smallest and soonest" />
              <Choice name="effort" value="standard" now={answers.effort} set={effort => set({ effort })} title="Good" text="Right for most" />
              <Choice name="effort" value="high" now={answers.effort} set={effort => set({ effort })} title="Best" text="Several times the work" />
            </div>
          </fieldset>
          <details>
            <summary>More about the capture</summary>
            <label class="check"><input type="checkbox" checked={answers.sphere} onChange={e => set({ sphere: e.currentTarget.checked })} />It was made with a 360° camera. Most are recognised without this.</label>
            <label class="check"><input type="checkbox" checked={answers.light} onChange={e => set({ light: e.currentTarget.checked })} />The brightness changes on the way</label>
          </details>
          <Estimate amount={found.amount} options={options(answers)} apiKey={apiKey} />
          {mails && <label class="field">Mail me when it is done (optional)<input type="email" name="email" value={email} maxLength={254} autocomplete="email" onInput={e => setEmail(e.currentTarget.value)} /></label>}
          {problem?.code === 'unauthorized' && <label class="field">Access key<input type="password" autocomplete="off" value={apiKey} onInput={e => setKey(e.currentTarget.value)} /></label>}
          <Trouble problem={problem} />
          <button class="primary" disabled={busy}>{busy ? 'Starting…' : 'Start'}</button>
        </>
      )}
    </form>
  );
}

// useChecks says what is wrong with files: names and sizes at once, a video's length when it was read.
function useChecks(files: File[]): Check {
  const [found, set] = useState<Check>({ hints: [] });
  useEffect(() => {
    let current = true;
    const c = check(files);
    set(c);
    if (!c.problem && files.length === 1 && isVideo(files[0]!)) void checkVideo(files[0]!).then(v => current && set(v));
    return () => { current = false; };
  }, [files]);
  return found;
}

// Strip shows what was chosen: the first photos, or the video itself.
function Strip({ files }: { files: File[] }) {
  const [urls, setUrls] = useState<{ url: string; video: boolean }[]>([]);
  useEffect(() => {
    const shown = files.filter(f => (isPhoto(f) && !/\.hei[cf]$/i.test(f.name)) || isVideo(f)).slice(0, isVideo(files[0]!) ? 1 : 12)
      .map(f => ({ url: URL.createObjectURL(f), video: isVideo(f) }));
    setUrls(shown);
    return () => shown.forEach(s => URL.revokeObjectURL(s.url));
  }, [files]);
  if (!urls.length) return null;
  return <div class="strip">{urls.map(u => u.video ? <video key={u.url} src={u.url} muted playsInline preload="metadata" controls aria-label="The video that you chose" /> : <img key={u.url} src={u.url} alt="" />)}</div>;
}

function Choice<T extends string>(p: { name: string; value: T; now: T; set: (v: T) => void; title: string; text: string }) {
  return (
    <label class="choice">
      <input type="radio" name={p.name} value={p.value} checked={p.now === p.value} onChange={() => p.set(p.value)} />
      <strong>{p.title}</strong><span>{p.text}</span>
    </label>
  );
}
