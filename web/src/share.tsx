// What the owner of a capture does about its shares: make one, copy it, embed it, revoke it.
import { useEffect, useState } from 'preact/hooks';
import { offline, post, Problem, remove, type Share, shares } from './api';
import { day } from './format';
import { Trouble } from './parts';

const terms = [['604800', 'a week'], ['2592000', 'a month'], ['', 'until I revoke it']] as const;

export function SharePanel({ token, title }: { token: string; title: string }) {
  const [list, setList] = useState<Share[]>([]);
  const [made, setMade] = useState<Share>();
  const [name, setName] = useState('');
  const [term, setTerm] = useState('');
  const [photos, setPhotos] = useState(false);
  const [problem, setProblem] = useState<Problem>();
  const [busy, setBusy] = useState(false);
  // attempt runs a call and shows what went wrong with it.
  const attempt = async (what: () => Promise<void>) => {
    setBusy(true);
    setProblem(undefined);
    try {
      await what();
    } catch (e) {
      setProblem(e instanceof Problem ? e : offline());
    }
    setBusy(false);
  };
  const read = async () => setList((await shares(token)).shares);
  useEffect(() => void attempt(read), [token]);

  const make = (e: Event) => {
    e.preventDefault();
    void attempt(async () => {
      setMade(await post<Share>('/shares', { title: name || undefined, expires_in_s: term ? Number(term) : undefined, photos: photos || undefined }, token));
      await read();
    });
  };
  const revoke = (s: Share) => {
    if (!confirm('Revoke this link? It will show nothing any more.')) return;
    void attempt(async () => {
      await remove(`/shares/${s.share_id}`, token);
      if (made?.share_id === s.share_id) setMade(undefined);
      await read();
    });
  };
  return (
    <section class="share" aria-label="Share">
      <h2>Share</h2>
      <p class="muted">Everyone who has the link can look around, watch the film, read the report and download the splat. The pictures you took stay yours, unless you allow some.</p>
      <form onSubmit={make}>
        <label class="field">Title for those who look<input value={name} maxLength={100} placeholder={title} onInput={e => setName(e.currentTarget.value)} /></label>
        <label class="field">The link works for<select value={term} onChange={e => setTerm(e.currentTarget.value)}>{terms.map(([v, words]) => <option key={v} value={v}>{words}</option>)}</select></label>
        <label class="check"><input type="checkbox" checked={photos} onChange={e => setPhotos(e.currentTarget.checked)} />With up to six of your photographs, to compare</label>
        <p><button type="submit" class="primary" disabled={busy}>Make a link</button></p>
      </form>
      <Trouble problem={problem} />
      {made && <Made share={made} />}
      {list.length > 0 && (
        <ul class="captures" aria-label="Links">
          {list.map(s => (
            <li key={s.share_id}>
              <span class="grow"><strong>{s.title || 'Without a title'}</strong> <span class="muted">made {day(s.created_at)}{s.expires_at && `, works until ${day(s.expires_at)}`}{s.photos && ', with photographs'}</span></span>
              <button type="button" class="quiet" disabled={busy} aria-label={`Revoke the link ${s.title || ''} of ${day(s.created_at)}`} onClick={() => revoke(s)}>Revoke</button>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

function Made({ share }: { share: Share }) {
  // The address is this page's own where the server knows none.
  const link = share.url ?? `${location.origin}/#/s/${share.share_token}`;
  const embed = `<iframe src="${location.origin}/embed#/s/${share.share_token}" width="800" height="500" allow="fullscreen" style="border:0"></iframe>`;
  return (
    <div class="note made" role="status">
      <Copied label="Link" text={link} />
      {'share' in navigator && <p><button type="button" onClick={() => void navigator.share({ url: link, title: share.title }).catch(() => undefined)}>Send…</button></p>}
      <details><summary>Show it on a web page</summary><Copied label="HTML" text={embed} /></details>
      <p class="muted">Copy it now: it is not shown again.</p>
    </div>
  );
}

function Copied({ label, text }: { label: string; text: string }) {
  const [done, setDone] = useState(false);
  const copy = () => navigator.clipboard.writeText(text).then(() => setDone(true), () => undefined); // the field can be selected, too
  return (
    <div class="copied">
      <label class="field">{label}<input readOnly value={text} onFocus={e => e.currentTarget.select()} /></label>
      {'clipboard' in navigator && <button type="button" onClick={copy}>{done ? 'Copied' : 'Copy'}</button>}
    </div>
  );
}
