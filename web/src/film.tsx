// A film of one's own: views that were chosen, and a camera that flies through them.
import { useEffect, useState } from 'preact/hooks';
import type { Pose } from './drive';
import { fileName, save } from './save';
import type { Point, Scene, View } from './scene';

// along is the pose after a share of the way: a Catmull-Rom spline through the views (Catmull and Rom, 1974), slow at both ends.
export function along(views: Pose[], share: number): Pose {
  const eased = share * share * (3 - 2 * share), last = views.length - 1;
  const leg = Math.min(last - 1, Math.floor(eased * last)), t = eased * last - leg;
  const at = (i: number) => views[Math.min(last, Math.max(0, leg + i))]!;
  const mix = (of: (p: Pose) => Point) => [0, 1, 2].map(k => {
    const [a, b, c, d] = [-1, 0, 1, 2].map(i => of(at(i))[k]!) as [number, number, number, number];
    return b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)));
  }) as Point;
  return { position: mix(p => p.position), target: mix(p => p.target) };
}

const records = () => typeof MediaRecorder !== 'undefined' && 'captureStream' in HTMLCanvasElement.prototype;
const types = ['video/webm;codecs=vp9', 'video/webm;codecs=vp8', 'video/webm', 'video/mp4'];

// record keeps what is on the canvas until what it returns is called.
function record(canvas: HTMLCanvasElement): () => Promise<Blob> {
  const stream = canvas.captureStream(30), mimeType = types.find(t => MediaRecorder.isTypeSupported(t));
  const recorder = new MediaRecorder(stream, { mimeType, videoBitsPerSecond: 12e6 });
  const parts: Blob[] = [];
  recorder.ondataavailable = e => parts.push(e.data);
  const stopped = new Promise<Blob>(done => { recorder.onstop = () => done(new Blob(parts, { type: (mimeType ?? '').split(';')[0] })); });
  recorder.start();
  return () => {
    recorder.stop();
    stream.getTracks().forEach(t => t.stop());
    return stopped;
  };
}

type Made = { url: string; content: Blob };

export function OwnFilm({ scene, title }: { scene?: Scene; title: string }) {
  const [views, set] = useState<View[]>([]);
  const [seconds, take] = useState(4);
  const [busy, be] = useState<'plays' | 'records'>();
  const [made, make] = useState<Made>();
  const [wrong, setWrong] = useState('');
  useEffect(() => () => { if (made) URL.revokeObjectURL(made.url); }, [made]);
  useEffect(() => be(undefined), [scene]);

  const play = async (recording: boolean) => {
    setWrong('');
    be(recording ? 'records' : 'plays');
    document.querySelector('.viewer')?.scrollIntoView({ block: 'nearest' });
    const whole = seconds * (views.length - 1);
    let passed = 0;
    try {
      const finish = recording ? record(scene!.canvas!) : undefined;
      await scene!.follow(dt => {
        passed += dt;
        return passed <= whole ? along(views, passed / whole) : undefined;
      });
      const content = await finish?.();
      if (content) make({ content, url: URL.createObjectURL(content) });
    } catch {
      setWrong('This browser could not record the film.');
    }
    be(undefined);
  };
  const add = () => {
    const here = scene?.view();
    if (here) set([...views, here]);
  };
  return (
    <details class="own-film">
      <summary>Make a film</summary>
      <p class="muted">Add two views or more: the camera flies through them in this order.</p>
      {views.length > 0 && <ol class="captures">{views.map((v, i) => (
        <li key={i}>
          <span class="grow">{`View ${i + 1}`}</span>
          <button type="button" class="quiet" aria-label={`Show view ${i + 1}`} onClick={() => scene?.goTo(v)}>Show</button>
          <button type="button" class="quiet" aria-label={`Remove view ${i + 1}`} onClick={() => set(views.filter((_, k) => k !== i))}>Remove</button>
        </li>
      ))}</ol>}
      <div class="actions">
        <button type="button" disabled={!scene || !!busy} onClick={add}>Add this view</button>
        {views.length > 1 && <>
          <label class="inline">Seconds to the next<select value={seconds} onChange={e => take(Number(e.currentTarget.value))}>{[1, 2, 4, 8].map(n => <option key={n} value={n}>{n}</option>)}</select></label>
          {busy ? <button type="button" onClick={() => scene?.mode('orbit')}>Stop</button> : <>
            <button type="button" disabled={!scene} onClick={() => void play(false)}>Play</button>
            {records() && <button type="button" disabled={!scene} onClick={() => void play(true)}>Record</button>}
          </>}
        </>}
      </div>
      {views.length > 1 && !records() && <p class="muted">This browser plays the film, but cannot record it.</p>}
      <p role="status">{busy === 'records' ? 'Recording what the viewer shows. Leave it in sight.' : busy === 'plays' ? 'Playing.' : made ? 'The film is ready.' : ''}</p>
      {wrong && <p class="note bad" role="alert">{wrong}</p>}
      {made && <>
        <video controls playsInline loop src={made.url} aria-label="Your own film" />
        <p><button type="button" onClick={() => save(made.content, `${fileName(title)}.${made.content.type.includes('mp4') ? 'mp4' : 'webm'}`)}>Save the film</button></p>
      </>}
    </details>
  );
}
