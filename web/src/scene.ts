// The viewer of splats: PlayCanvas's, without its own controls. Loaded only when there is something to look at.
import { createViewer, type ViewerHandle } from '@playcanvas/supersplat-viewer/viewer';
import { Asset, Entity } from 'playcanvas';
import '@playcanvas/supersplat-viewer/viewer.css';
import { defaultPostEffectSettings } from '@playcanvas/supersplat-viewer/settings';

export type Events = { progress: (percent: number) => void; loaded: () => void; mode: (m: 'orbit' | 'fly') => void; failed: (why: string) => void };
// A file of which there are versions is replaced under its address, so no cache may answer for it.
export type File = { url: string; file_name: string; version?: string };
export type Scene = {
  swap: (file: File) => Promise<void>;
  mode: (m: 'orbit' | 'fly') => void; reset: () => void; whole: () => void; move: (x: number, z: number) => void;
  listen: (on: boolean) => void; key: (e: KeyboardEvent) => boolean; destroy: () => void;
};

// show fills box with the splat in file. placed: the splat is where Splatworks puts it (docs/conventions.md), around the origin and
// one unit from the first camera, which looks along z. The viewer turns every splat by half a turn about z, so that y is up.
export async function show(box: HTMLElement, file: File, placed: boolean, on: Events): Promise<Scene> {
  const contents = get(file);
  await contents; // the viewer would wait for it without an end
  const v = await createViewer({
    container: box, contentUrl: file.url, contentFilename: file.file_name, contents, ui: false, renderer: 'webgl', noanim: true,
    settings: {
      version: 2, tonemapping: 'none', highPrecisionRendering: false, background: { color: [0.07, 0.07, 0.065] }, postEffectSettings: defaultPostEffectSettings(),
      animTracks: [], cameras: placed ? [{ initial: { position: [0, 0.15, -1.05], target: [0, 0, 0], fov: 60 } }] : [], annotations: [], startMode: 'default',
    },
  });
  const canvas = box.querySelector('canvas');
  canvas?.setAttribute('aria-hidden', 'true'); // the box has the name
  v.state.inputEnabled = false; // keys are the page's until the viewer has the focus
  v.state.gamingControls = false;
  const first = () => {
    if (v.state.cameraMode !== 'orbit' && v.state.cameraMode !== 'fly') v.state.cameraMode = 'orbit';
    on.loaded();
  };
  if (v.state.loaded) first();
  else v.events.once('loaded:changed', first);
  v.events.on('progress:changed', (p: number) => on.progress(p));
  v.events.on('cameraMode:changed', (m: string) => on.mode(m === 'fly' ? 'fly' : 'orbit'));
  return {
    swap: next => swap(v, next),
    mode: m => { v.state.cameraMode = m; },
    reset: () => v.resetCamera(),
    whole: () => v.frameScene(),
    move: (x, z) => v.setMoveInput(x, z),
    listen: active => { v.state.inputEnabled = active; },
    key: e => canvas !== null && key(v, canvas, e),
    destroy: () => v.destroy(),
  };
}

async function get(file: File): Promise<Response> {
  const answer = await fetch(file.url, { cache: file.version ? 'no-store' : 'default' });
  if (!answer.ok) throw new Error(`the file does not come (${answer.status})`);
  return answer;
}

// swap shows another splat in place of the one that is shown, and leaves the view as it is.
async function swap(v: ViewerHandle, file: File): Promise<void> {
  const contents = get(file);
  await contents;
  const url = `${file.url}#${file.version}`; // the engine would take one address for one file
  const asset = new Asset(file.file_name, 'gsplat', { url, filename: file.file_name, contents } as object);
  await new Promise<void>((loaded, failed) => {
    asset.on('load', () => loaded());
    asset.on('error', (e: unknown) => failed(e instanceof Error ? e : new Error(String(e))));
    v.app.assets.add(asset);
    v.app.assets.load(asset);
  });
  const old = v.app.root.findByName('gsplat') as Entity | null;
  const entity = new Entity('gsplat', v.app);
  entity.setLocalEulerAngles(0, 0, 180); // as the viewer does
  entity.addComponent('gsplat', { unified: true, asset });
  v.app.root.addChild(entity);
  const former = old?.gsplat?.asset;
  old?.destroy();
  const unused = typeof former === 'number' ? v.app.assets.get(former) : former;
  if (unused) {
    v.app.assets.remove(unused);
    unused.unload();
  }
  v.app.renderNextFrame = true;
}

const turns: Record<string, [number, number]> = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

// key gives the keyboard what the mouse has: arrows turn, plus and minus go nearer and away. In fly mode the viewer itself
// moves by W A S D and the arrows.
function key(v: ViewerHandle, canvas: HTMLCanvasElement, e: KeyboardEvent): boolean {
  if (!v.state.loaded || e.ctrlKey || e.metaKey || e.altKey) return false;
  const wheel = (deltaX: number, deltaY: number, ctrlKey: boolean) => canvas.dispatchEvent(new WheelEvent('wheel', { deltaX, deltaY, ctrlKey, cancelable: true }));
  if (e.key === '+' || e.key === '=') wheel(0, -120, false);
  else if (e.key === '-') wheel(0, 120, false);
  else if (e.key in turns && v.state.cameraMode === 'orbit') {
    const [x, y] = turns[e.key]!;
    // The viewer turns by the wheel while Ctrl is held, and listens for that key on the window.
    window.dispatchEvent(new KeyboardEvent('keydown', { key: 'Control' }));
    wheel(40 * x, 40 * y, true);
    window.dispatchEvent(new KeyboardEvent('keyup', { key: 'Control' }));
    e.stopPropagation(); // else it shifts the view, too
  } else return false;
  return true;
}
