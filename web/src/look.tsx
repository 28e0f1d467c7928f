// What came out: the splat to move through, the film, the files, and the report.
import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { call, type Result, type Warning } from './api';
import { bytes } from './format';
import { later } from './later';
import './look.css';
import { Warnings } from './parts';
import type { Report } from './report';
import type { Scene } from './scene';

const about: Record<string, string> = {
  sog: 'For the web: this viewer, SuperSplat, PlayCanvas', splat: 'The standard file: every splat viewer and editor', spz: 'Small: three.js, Scaniverse, SuperSplat',
  'spz-v3': 'Small, for older readers such as Spark', glb: 'glTF with Gaussian splats', 'compressed-ply': 'Smaller PLY: SuperSplat, Spark',
  orbit: 'A film around it', thumbnail: 'A picture', report: 'All numbers, for programs', sparse_model: 'Camera poses, as COLMAP keeps them',
  scene: 'Undistorted pictures with poses, for other trainers', cameras: 'Where the cameras were', capture_report: 'What was good and bad about the capture',
  contact_sheet: 'The pictures that were chosen', depth_grid: 'Pictures beside their depth', comparison: 'Worst and best view, beside their photographs',
};
const pictures = ['comparison', 'contact_sheet', 'cameras', 'depth_grid'];

export type ResultsProps = { title: string; results: Result[]; warnings?: Warning[]; report: boolean; home: string; share?: ComponentChildren };

export function Results({ title, results, warnings, report, home, share }: ResultsProps) {
  const of = (kind: string) => results.find(r => r.kind === kind);
  const doc = useReport(of('report')?.url);
  if (report) return <ReportView title={title} doc={doc} results={results} home={home} />;
  const film = of('orbit');
  return (
    <section class="look">
      <h1>{title}</h1>
      <Viewer results={results} doc={doc} known={!of('report') || doc !== undefined} title={title} />
      {doc && <p class="numbers facts"><Facts doc={doc} /><a href={`${home}/report`}>The whole report</a></p>}
      <Warnings list={warnings ?? doc?.warnings} />
      {share}
      {film && <section aria-label="Film"><h2>Film</h2><video controls playsInline loop preload="metadata" src={film.url} poster={of('thumbnail')?.url} aria-label="A film around the result" /></section>}
      <section aria-label="Files">
        <h2>Files</h2>
        <ul class="files">
          {results.map(r => <li key={r.kind + r.file_name}><a href={r.url} download={r.file_name}><strong>{r.file_name}</strong><span class="muted">{about[r.kind] ?? ''}</span></a><span class="size">{bytes(r.size)}</span></li>)}
        </ul>
      </section>
      {pictures.some(of) && (
        <section aria-label="Pictures">
          <h2>Pictures</h2>
          <div class="pictures">{pictures.map(of).map(r => r && <figure key={r.kind}><a href={r.url} aria-label={`Open ${r.file_name}`}><img src={r.url} alt={about[r.kind]} loading="lazy" /></a><figcaption>{about[r.kind]}</figcaption></figure>)}</div>
        </section>
      )}
    </section>
  );
}

// Embedded is the viewer alone, for a frame on another page.
export function Embedded({ title, results, page }: { title: string; results: Result[]; page: string }) {
  const report = results.find(r => r.kind === 'report');
  const doc = useReport(report?.url);
  return (
    <section class="embedded" aria-label={title}>
      <h1 class="visually-hidden">{title}</h1>
      <Viewer results={results} doc={doc} known={!report || doc !== undefined} title={title} />
      <a class="button" href={page} target="_blank" rel="noopener">Open</a>
    </section>
  );
}

function Facts({ doc }: { doc: Report }) {
  const { images, quality, splat } = doc;
  const facts = [
    images?.registered && images.used ? `${images.registered} of ${images.used} pictures placed` : '',
    splat ? `${splat.gaussians.toLocaleString()} Gaussians` : '',
    quality ? `${quality.psnr_db.toFixed(1)} dB` : '',
  ].filter(Boolean);
  return <span>{facts.join(' · ')}</span>;
}

// useReport reads report.json once: undefined while it is read, null when it cannot be.
function useReport(url?: string): Report | null | undefined {
  const [doc, setDoc] = useState<Report | null>();
  const path = url?.split('?')[0]; // its signature changes, the file does not
  useEffect(() => {
    if (url) call(url).then(a => a.json()).then(setDoc, () => setDoc(null));
  }, [path]);
  return doc;
}

const ReportPage = later(() => import('./report').then(m => m.ReportPage));

function ReportView({ title, doc, results, home }: { title: string; doc?: Report | null; results: Result[]; home: string }) {
  return (
    <section class="report">
      <p class="no-print"><a href={home}>Back to the scene</a></p>
      {doc === null ? <><h1>{title}</h1><p>The report cannot be read.</p></> : doc ? <ReportPage title={title} doc={doc} results={results} /> : <p role="status">Loading the report…</p>}
    </section>
  );
}

// The kinds that the viewer reads, best first.
const shown = ['sog', 'compressed-ply', 'splat'];

function Viewer({ results, doc, known, title }: { results: Result[]; doc?: Report | null; known: boolean; title: string }) {
  const box = useRef<HTMLDivElement>(null);
  const stage = useRef<HTMLDivElement>(null);
  const [scene, setScene] = useState<Scene>();
  const [percent, setPercent] = useState(0);
  const [loaded, setLoaded] = useState(false);
  const [wrong, setWrong] = useState('');
  const [mode, setMode] = useState<'orbit' | 'fly'>('orbit');
  const [full, setFull] = useState(false);
  const file = shown.map(k => results.find(r => r.kind === k)).find(Boolean);
  const poster = results.find(r => r.kind === 'thumbnail');

  useEffect(() => {
    if (!stage.current || !file || !known) return;
    let gone = false, made: Scene | undefined;
    import('./scene').then(m => m.show(stage.current!, file, doc?.sfm?.world?.unit === 'view_distance', {
      progress: setPercent, loaded: () => setLoaded(true), mode: setMode, failed: setWrong,
    })).then(s => {
      made = s;
      if (gone) s.destroy();
      else setScene(s);
    }).catch(e => setWrong(`The scene cannot be shown here: ${e instanceof Error ? e.message : e}`));
    return () => {
      gone = true;
      made?.destroy();
    };
  }, [file?.file_name, known]);
  useEffect(() => {
    const changed = () => setFull(document.fullscreenElement === box.current && !!box.current);
    document.addEventListener('fullscreenchange', changed);
    return () => document.removeEventListener('fullscreenchange', changed);
  }, []);
  if (!file) return <p class="note warn">No file here that this viewer opens: it reads .sog and .ply.</p>;
  const keys = (e: KeyboardEvent) => {
    if (scene && !(e.target instanceof HTMLButtonElement && (e.key === ' ' || e.key === 'Enter')) && scene.key(e)) e.preventDefault();
  };
  return (
    <div class={`viewer ${loaded ? 'loaded' : ''}`} ref={box}>
      <div class="stage3d" ref={stage} role="application" tabIndex={0} aria-label={`${title} in 3D. Arrow keys turn, plus and minus move nearer and away, R resets.`}
        onKeyDown={keys} onFocus={() => scene?.listen(true)} onBlur={() => scene?.listen(false)} />
      {!loaded && <div class="cover">
        {poster && <img src={poster.url} alt="" />}
        {wrong ? <p class="note bad" role="alert">{wrong} The files below are fine.</p> : <p role="status">Loading the scene, {bytes(file.size)}<Bar2 percent={percent} /></p>}
      </div>}
      {loaded && scene && (
        <div class="controls" role="toolbar" aria-label="View">
          <button type="button" aria-pressed={mode === 'orbit'} onClick={() => scene.mode('orbit')}>Orbit</button>
          <button type="button" aria-pressed={mode === 'fly'} onClick={() => scene.mode('fly')}>Fly</button>
          <button type="button" onClick={() => scene.reset()}>Reset</button>
          <button type="button" onClick={() => scene.whole()}>Whole</button>
          {document.fullscreenEnabled && <button type="button" onClick={() => (full ? document.exitFullscreen() : box.current?.requestFullscreen())}>{full ? 'Leave full screen' : 'Full screen'}</button>}
        </div>
      )}
      {loaded && scene && mode === 'fly' && <Pad scene={scene} />}
      <p class="hint muted">{mode === 'orbit' ? 'Drag to turn, pinch or wheel to come nearer, two fingers or right button to shift.' : 'Drag to look around. Move with the pad, or W A S D.'}</p>
    </div>
  );
}

const Bar2 = ({ percent }: { percent: number }) => <progress aria-label="Loaded" max={100} value={percent} />;

// Pad moves in fly mode, for fingers and for the keyboard.
function Pad({ scene }: { scene: Scene }) {
  const hold = (x: number, z: number) => ({
    onPointerDown: (e: PointerEvent) => { (e.currentTarget as HTMLElement).setPointerCapture(e.pointerId); scene.move(x, z); },
    onPointerUp: () => scene.move(0, 0), onPointerCancel: () => scene.move(0, 0), onLostPointerCapture: () => scene.move(0, 0),
    onKeyDown: (e: KeyboardEvent) => { if (e.key === ' ' || e.key === 'Enter') scene.move(x, z); },
    onKeyUp: () => scene.move(0, 0), onBlur: () => scene.move(0, 0),
  });
  return (
    <div class="pad" role="group" aria-label="Move">
      <button type="button" class="f" aria-label="Forward" {...hold(0, 1)}>↑</button>
      <button type="button" class="l" aria-label="Left" {...hold(-1, 0)}>←</button>
      <button type="button" class="b" aria-label="Back" {...hold(0, -1)}>↓</button>
      <button type="button" class="r" aria-label="Right" {...hold(1, 0)}>→</button>
    </div>
  );
}
