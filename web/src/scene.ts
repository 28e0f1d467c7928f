// The viewer of splats: PlayCanvas's, without its own controls. Loaded only when there is something to look at.
import { createViewer, type ViewerHandle } from '@playcanvas/supersplat-viewer/viewer';
import { Asset, type CameraComponent, Entity, Vec3 } from 'playcanvas';
import '@playcanvas/supersplat-viewer/viewer.css';
import { defaultPostEffectSettings } from '@playcanvas/supersplat-viewer/settings';

export type Events = { progress: (percent: number) => void; loaded: () => void; mode: (m: 'orbit' | 'fly') => void; failed: (why: string) => void };
// A file of which there are versions is replaced under its address, so no cache may answer for it.
export type File = { url: string; file_name: string; version?: string };
// A point in the splat's own coordinates, those of its file.
export type Point = [number, number, number];
// Where the camera is and what it turns about, in the viewer's coordinates, to come back to.
export type View = { position: Point; target: Point; fly: boolean };
// Where to begin: a camera and what is in its middle, in the splat's own coordinates, with the angle of the picture's longer side.
export type Start = { position: Point; target: Point; fov_deg: number };
export type Scene = {
  swap: (file: File) => Promise<void>;
  view: () => View | undefined; // before anything is shown there is none
  // marking: clicks on the splat name points instead of turning to them. No point: there is nothing where the click was.
  marking: (on: (at?: Point) => void) => () => void; // until what it returns is called
  markMiddle: () => void; // as a click in the middle of the picture
  place: (p: Point) => { x: number; y: number; seen: boolean }; // of a point, in pixels of the box; not seen: behind the camera
  onFrame: (draw: () => void) => () => void; // calls draw after each picture until what it returns is called
  mode: (m: 'orbit' | 'fly') => void; reset: () => void; whole: () => void; move: (x: number, z: number) => void;
  listen: (on: boolean) => void; key: (e: KeyboardEvent) => boolean; destroy: () => void;
};

// show fills box with the splat in file, seen from start. The viewer turns every splat by half a turn about z, so that y is up.
// at: the view to begin with, instead of the first.
export async function show(box: HTMLElement, file: File, start: Start | undefined, on: Events, at?: View): Promise<Scene> {
  const point = (p: Point): Point => turned(new Vec3(p)).toArray() as Point;
  const first: View | undefined = start && { position: point(start.position), target: point(start.target), fly: false };
  const camera = (view?: View) => (view ? [{ initial: { position: view.position, target: view.target, fov: start?.fov_deg ?? 60 } }] : []);
  const contents = get(file);
  await contents; // the viewer would wait for it without an end
  const v = await createViewer({
    container: box, contentUrl: file.url, contentFilename: file.file_name, contents, ui: false, renderer: 'webgl', noanim: true,
    settings: {
      version: 2, tonemapping: 'none', highPrecisionRendering: false, background: { color: [0.07, 0.07, 0.065] }, postEffectSettings: defaultPostEffectSettings(),
      animTracks: [], cameras: [at ?? first].flatMap(camera), startMode: 'default',
      // The one that nobody sees is the way back to the first view from another that the viewer began with.
      annotations: [first].flatMap(camera).map(c => ({ position: c.initial.target, title: '', text: '', camera: c })),
    },
  });
  const points = marker(v);
  const canvas = box.querySelector('canvas');
  canvas?.setAttribute('aria-hidden', 'true'); // the box has the name
  v.state.inputEnabled = false; // keys are the page's until the viewer has the focus
  v.state.gamingControls = false;
  const begin = () => {
    if (at?.fly) v.state.cameraMode = 'fly';
    else if (at || v.state.cameraMode !== 'fly') v.state.cameraMode = 'orbit';
    on.loaded();
  };
  if (v.state.loaded) begin();
  else v.events.once('loaded:changed', begin);
  v.events.on('progress:changed', (p: number) => on.progress(p));
  v.events.on('cameraMode:changed', (m: string) => on.mode(m === 'fly' ? 'fly' : 'orbit'));
  return {
    swap: next => swap(v, next),
    view: () => (v.state.loaded ? viewOf(v) : undefined),
    ...points,
    mode: m => { v.state.cameraMode = m; },
    reset: () => {
      if (!at) v.resetCamera();
      else if (first) v.selectAnnotation(0);
      else v.frameScene();
    },
    whole: () => v.frameScene(),
    move: (x, z) => v.setMoveInput(x, z),
    listen: active => { v.state.inputEnabled = active; },
    key: e => canvas !== null && key(v, canvas, e),
    destroy: () => v.destroy(),
  };
}

const cameraOf = (v: ViewerHandle) => v.app.root.findByName('camera') as Entity & { camera: CameraComponent };

// viewOf turns about what is straight ahead and nearest to the middle of the world: the viewer keeps its own point to itself.
function viewOf(v: ViewerHandle): View {
  const eye = cameraOf(v), from = eye.getPosition().clone(), ahead = eye.forward.clone();
  const distance = Math.max(0.2, -from.dot(ahead));
  const target = from.clone().add(ahead.mulScalar(distance));
  return { position: [from.x, from.y, from.z], target: [target.x, target.y, target.z], fly: v.state.cameraMode === 'fly' };
}

// turned is a point of the splat's in the viewer's coordinates, and the other way round: half a turn about z.
const turned = (p: Vec3): Vec3 => new Vec3(-p.x, -p.y, p.z);

type Picker = { pick: (x: number, y: number) => Promise<Vec3 | null>; pickSurface: (x: number, y: number) => Promise<{ position: Vec3 } | null> };

// marker names points of the splat: where the opacity in front reaches half, as the viewer finds what a click turns to.
function marker(v: ViewerHandle): Pick<Scene, 'marking' | 'markMiddle' | 'place' | 'onFrame'> {
  let picker: Picker | undefined, marking: ((at?: Point) => void) | undefined;
  const mark = (hit?: Vec3 | null) => {
    const p = hit ? turned(hit) : undefined;
    marking?.(p && [p.x, p.y, p.z]);
  };
  v.events.on('picker:ready', (p: Picker) => {
    picker = p;
    const surface = p.pickSurface;
    p.pickSurface = async (x, y) => {
      const hit = await surface(x, y);
      if (!marking) return hit;
      mark(hit?.position);
      return null; // nothing to turn to
    };
  });
  return {
    marking: on => {
      marking = on;
      return () => { if (marking === on) marking = undefined; };
    },
    markMiddle: () => void picker?.pick(0.5, 0.5).then(mark),
    place: p => {
      const eye = cameraOf(v), at = turned(new Vec3(p)), on = eye.camera.worldToScreen(at);
      return { x: on.x, y: on.y, seen: at.sub(eye.getPosition()).dot(eye.forward) > 0 };
    },
    onFrame: draw => {
      v.app.on('frameend', draw);
      return () => void v.app.off('frameend', draw);
    },
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
