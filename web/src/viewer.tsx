// The box with a splat in it, and the controls to move through it.
import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { bytes } from './format';
import { Measure, type Unit } from './measure';
import { fileName, save } from './save';
import type { File, Mode, Scene, Start, View } from './scene';

// The views that were left, by what they showed: who comes back, or sees a splat become ready, looks from where they were.
const views = new Map<string, View>();

// nearFirstCamera is a start where Splatworks placed the splat and says no more: the first camera is one unit from the origin.
export const nearFirstCamera: Start = { position: [0, -0.15, -1.05], target: [0, 0, 0], fov_deg: 60 };

export type ViewerProps = {
  file: File; title: string;
  start?: Start; // else all of it is in sight
  ready?: boolean; // to be shown
  poster?: string;
  otherwise: string; // said when it cannot be shown
  keep?: string; // names the view
  unit?: Unit; // distances may be measured
  ground?: string; // where the mesh is that can be walked on
  mesh?: string; // where the mesh is that can be looked at
  onScene?: (scene?: Scene) => void; // once there is one to draw on, and when it is gone
  busy?: boolean; // clicks are asked for by what draws on it
  load?: () => Promise<typeof import('./scene')>; // the viewer's code, which is large
  children?: ComponentChildren; // above the scene
};

export function Viewer({ file, title, start, ready = true, poster, otherwise, keep, unit, ground, mesh, onScene, busy, load = () => import('./scene'), children }: ViewerProps) {
  const box = useRef<HTMLDivElement>(null);
  const stage = useRef<HTMLDivElement>(null);
  const [scene, setScene] = useState<Scene>();
  const [percent, setPercent] = useState(0);
  const [loaded, setLoaded] = useState(false);
  const [wrong, setWrong] = useState('');
  const [mode, setMode] = useState<Mode>('orbit');
  const [full, setFull] = useState(false);
  const [measuring, measure] = useState(false);
  const [said, say] = useState('');
  const [bare, strip] = useState(false); // the mesh is shown, not the splat
  const [tries, again] = useState(0);

  useEffect(() => {
    if (!stage.current || !ready) return;
    let gone = false, made: Scene | undefined;
    load().then(m => m.show(stage.current!, file, start, {
      progress: setPercent, loaded: () => setLoaded(true), mode: m => { setMode(m); say(''); }, failed: setWrong,
    }, keep === undefined ? undefined : views.get(keep))).then(s => {
      made = s;
      if (gone) s.destroy();
      else {
        setScene(s);
        strip(false);
      }
    }).catch(e => setWrong(`The scene cannot be shown here: ${e instanceof Error ? e.message : e}`));
    return () => {
      gone = true;
      const left = made?.view();
      if (left && keep !== undefined) views.set(keep, left);
      made?.destroy();
    };
  }, [file.version === undefined ? file.file_name : '', ready, tries]);
  useEffect(() => {
    if (loaded) onScene?.(scene);
    return () => onScene?.();
  }, [loaded, scene]);
  useEffect(() => {
    if (busy) measure(false);
  }, [busy]);
  useVersions(loaded ? scene : undefined, file);
  useEffect(() => scene?.renew(file.url), [scene, file.url]);
  useEffect(() => {
    if (wrong) { // a version that did not come: here is another
      setWrong('');
      again(n => n + 1);
    }
  }, [file.version]);
  useEffect(() => {
    const changed = () => setFull(document.fullscreenElement === box.current && !!box.current);
    document.addEventListener('fullscreenchange', changed);
    return () => document.removeEventListener('fullscreenchange', changed);
  }, []);
  const keys = (e: KeyboardEvent) => {
    if (e.type === 'keydown' && e.key === 'Enter' && e.target === stage.current) scene?.markMiddle();
    if (scene && !(e.target instanceof HTMLButtonElement && (e.key === ' ' || e.key === 'Enter')) && scene.key(e)) e.preventDefault();
  };
  const walk = async () => {
    say('');
    try {
      if (await scene!.walk(ground!, unit === 'metre')) stage.current?.focus(); // keys move at once
      else say('There is no floor below. Move over one and press Walk again.');
    } catch {
      say('The mesh to walk on does not load.');
    }
  };
  const swapSurface = () => {
    say('');
    measure(false); // points are found on the splat
    scene!.surface(bare ? undefined : mesh).then(() => strip(!bare), () => say('The mesh does not load.'));
  };
  const picture = () => scene!.picture().then(png => save(png, `${fileName(title)}.png`), () => say('This browser does not make the picture.'));
  return (
    <div class={`viewer ${loaded ? 'loaded' : ''}`} ref={box}>
      <div class="stage3d" ref={stage} role="application" tabIndex={0} aria-label={`${title} in 3D. Arrow keys turn, plus and minus move nearer and away, R resets.`}
        onKeyDown={keys} onKeyUp={keys} onFocus={() => scene?.listen(true)} onBlur={() => scene?.listen(false)} />
      {loaded && scene && mode === 'walk' && !measuring && !busy && <Head scene={scene} />}
      {!loaded && <div class="cover">
        {poster && <img src={poster} alt="" />}
        {wrong ? <p class="note bad" role="alert">{wrong} {otherwise}</p> : <p role="status">Loading the scene{!file.file_name.endsWith('.zip') && `, ${bytes(file.size)}`}<Bar2 percent={percent} /></p>}
      </div>}
      {loaded && children}
      {loaded && scene && (
        <div class="controls" role="toolbar" aria-label="View">
          <button type="button" aria-pressed={mode === 'orbit'} onClick={() => scene.mode('orbit')}>Orbit</button>
          <button type="button" aria-pressed={mode === 'fly'} onClick={() => scene.mode('fly')}>Fly</button>
          {ground && <button type="button" aria-pressed={mode === 'walk'} onClick={walk}>Walk</button>}
          <button type="button" onClick={() => scene.reset()}>Reset</button>
          <button type="button" onClick={() => scene.whole()}>Whole</button>
          {mesh && <button type="button" aria-pressed={bare} onClick={swapSurface}>Mesh</button>}
          {unit && !bare && <button type="button" aria-pressed={measuring} onClick={() => measure(!measuring)}>Measure</button>}
          <button type="button" onClick={picture}>Picture</button>
          {document.fullscreenEnabled && <button type="button" onClick={() => (full ? document.exitFullscreen() : box.current?.requestFullscreen())}>{full ? 'Leave full screen' : 'Full screen'}</button>}
        </div>
      )}
      {loaded && scene && unit && measuring && <Measure scene={scene} unit={unit} />}
      {said && <div class="sofar"><p role="status">{said}</p></div>}
      {loaded && scene && mode !== 'orbit' && <Pad scene={scene} />}
      <p class="hint muted">{hints[mode]}</p>
    </div>
  );
}

const hints: Record<Mode, string> = {
  orbit: 'Drag to turn, pinch or wheel to come nearer, two fingers or right button to shift.',
  fly: 'Drag to look around. Move with the pad, or W A S D.',
  walk: 'Drag to look around. Walk with the pad, the arrow keys, or W A S D.',
};

// Head turns the one who walks by dragging. It covers the scene, which would turn about a point.
function Head({ scene }: { scene: Scene }) {
  const last = useRef<[number, number] | undefined>(undefined);
  return (
    <div class="head" onPointerDown={e => { e.currentTarget.setPointerCapture(e.pointerId); last.current = [e.clientX, e.clientY]; }} onPointerUp={() => { last.current = undefined; }}
      onPointerMove={e => {
        if (!last.current) return;
        scene.turn(0.2 * (last.current[0] - e.clientX), 0.2 * (last.current[1] - e.clientY));
        last.current = [e.clientX, e.clientY];
      }} />
  );
}

// useVersions swaps a newer version in, one after another. One that does not come is left out: the next is on its way.
function useVersions(scene: Scene | undefined, file: File) {
  const newest = useRef(file);
  newest.current = file;
  const shown = useRef({ version: file.version, busy: false });
  useEffect(() => {
    const now = shown.current;
    if (!scene || now.busy) return;
    now.busy = true;
    void (async () => {
      while (now.version !== newest.current.version) {
        const next = newest.current;
        now.version = next.version;
        await scene.swap(next).catch(() => undefined);
      }
      now.busy = false;
    })();
  }, [scene, file.version]);
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
