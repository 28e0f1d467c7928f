// The viewer of splats: PlayCanvas's, without its own controls. Loaded only when there is something to look at.
import { createViewer, type ViewerHandle } from '@playcanvas/supersplat-viewer/viewer';
import { Asset, Entity, Vec3 } from 'playcanvas';
import '@playcanvas/supersplat-viewer/viewer.css';
import { defaultPostEffectSettings } from '@playcanvas/supersplat-viewer/settings';
import { cameraOf, driver, type Pose, type Step, viewOf } from './drive';
import { drawable, isLevels, openLevels } from './levels';
import { surface } from './surface';
import { drop, readGround, type Walker, walker } from './walk';

export type Mode = 'orbit' | 'fly' | 'walk';
export type Events = { progress: (percent: number) => void; loaded: () => void; mode: (m: Mode) => void; failed: (why: string) => void };
// A file of which there are versions is replaced under its address, so no cache may answer for it.
export type File = { url: string; file_name: string; size: number; version?: string };
// A point in the splat's own coordinates, those of its file.
export type Point = [number, number, number];
// Where the camera is and what it turns about, in the viewer's coordinates, to come back to.
export type View = { position: Point; target: Point; fly: boolean };
// Where to begin: a camera and what is in its middle, in the splat's own coordinates, with the angle of the picture's longer side.
export type Start = { position: Point; target: Point; fov_deg: number };
export type Scene = {
  swap: (file: File) => Promise<void>;
  renew: (url: string) => void; // a newer link to the file that is shown
  view: () => View | undefined; // before anything is shown there is none
  // marking: clicks on the splat name points instead of turning to them. No point: there is nothing where the click was.
  marking: (on: (at?: Point) => void) => () => void; // until what it returns is called
  markMiddle: () => void; // as a click in the middle of the picture
  place: (p: Point) => { x: number; y: number; seen: boolean }; // of a point, in pixels of the box; not seen: behind the camera
  onFrame: (draw: () => void) => () => void; // calls draw after each picture until what it returns is called
  mode: (m: 'orbit' | 'fly') => void; reset: () => void; whole: () => void; move: (x: number, z: number) => void;
  // walk stands on the mesh for collisions that is at url, as high as a person where the splat is in metres, else as high as the first
  // camera. False: there is no floor below the view.
  walk: (url: string, metres: boolean) => Promise<boolean>;
  turn: (left: number, up: number) => void; // the head of who walks, in degrees
  surface: (url?: string) => Promise<void>; // shows the mesh at url instead of the splat; none: the splat
  goTo: (pose: Pose) => void;
  follow: (step: Step) => Promise<void>; // until the step has no more poses, or the person chose another way to move
  picture: () => Promise<Blob>; // PNG of the view
  canvas: HTMLCanvasElement | null;
  listen: (on: boolean) => void; key: (e: KeyboardEvent) => boolean; destroy: () => void;
};

// show fills box with the splat in file, seen from start. The viewer turns every splat by half a turn about z, so that y is up.
// at: the view to begin with, instead of the first.
export async function show(box: HTMLElement, file: File, start: Start | undefined, on: Events, at?: View): Promise<Scene> {
  const point = (p: Point): Point => turned(new Vec3(p)).toArray() as Point;
  const first: View | undefined = start && { position: point(start.position), target: point(start.target), fly: false };
  const camera = (view?: View) => (view ? [{ initial: { position: view.position, target: view.target, fov: start?.fov_deg ?? 60 } }] : []);
  const away: View = { position: [0, 0, 1], target: [0, 0, 0], fly: false };
  const levels = isLevels(file) ? await openLevels(file.url, file.size) : undefined;
  const contents = levels ? undefined : get(file.url, file.version);
  await contents; // the viewer would wait for it without an end
  const v = await createViewer({
    container: box, contentUrl: levels?.meta ?? file.url, contentFilename: levels ? 'lod-meta.json' : file.file_name, contents, budget: levels && drawable(), ui: false, renderer: 'webgl', noanim: true,
    settings: {
      version: 2, tonemapping: 'none', highPrecisionRendering: false, background: { color: [0.07, 0.07, 0.065] }, postEffectSettings: defaultPostEffectSettings(),
      animTracks: [], cameras: [at ?? first].flatMap(camera), startMode: 'default',
      // Nobody sees these. They are ways: to any view, and back to the first one from another that the viewer began with.
      annotations: [away, first].flatMap(camera).map(c => ({ position: c.initial.target, title: '', text: '', camera: c })),
    },
  });
  levels?.serve(v.app);
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
  let walking: Walker | undefined;
  const ownMode = () => on.mode(v.state.cameraMode === 'fly' ? 'fly' : 'orbit');
  const drive = driver(v, 0);
  v.events.on('cameraMode:changed', () => { if (!drive.driven()) ownMode(); });
  const walk = async (url: string, metres: boolean) => {
    const ground = readGround(await (await get(url)).arrayBuffer());
    const from = viewOf(v), starts = first ? [from, first] : [from];
    const height = metres ? personsEyes : starts.reverse().map(s => drop(ground, s.position)).find(d => d !== undefined);
    const up = height === undefined ? undefined : walker(ground, height, from) ?? (first && walker(ground, height, first));
    if (!up) return false;
    drive.drive(up.step, () => {
      walking = undefined;
      ownMode();
    });
    walking = up;
    v.state.inputEnabled = false; // keys are the walker's
    on.mode('walk');
    return true;
  };
  return {
    walk,
    turn: (left, up) => walking?.turn(left, up),
    surface: surface(v),
    goTo: pose => {
      drive.stop();
      drive.goTo(pose);
    },
    follow: step => new Promise(over => drive.drive(step, over)),
    picture: () => picture(v, canvas),
    canvas,
    swap: next => swap(v, next),
    renew: url => levels?.renew(url),
    view: () => (v.state.loaded ? viewOf(v) : undefined),
    ...points,
    mode: m => {
      drive.stop();
      v.state.cameraMode = m;
    },
    reset: () => {
      drive.stop();
      if (!at) v.resetCamera();
      else if (first) v.selectAnnotation(1);
      else v.frameScene();
    },
    whole: () => {
      drive.stop();
      v.frameScene();
    },
    move: (x, z) => (walking ? walking.move(x, z) : v.setMoveInput(x, z)),
    listen: active => {
      v.state.inputEnabled = active && !walking;
      walking?.rest();
    },
    key: e => (walking ? plain(e) && walking.key(e.key, e.type === 'keydown') : e.type === 'keydown' && canvas !== null && key(v, canvas, e)),
    destroy: () => v.destroy(),
  };
}

// personsEyes is how high they are, in metres.
const personsEyes = 1.6;

// picture draws the view once more, since what is on the screen cannot be read.
async function picture(v: ViewerHandle, canvas: HTMLCanvasElement | null): Promise<Blob> {
  if (!canvas) throw new Error('nothing is shown');
  const { width, height, data } = await v.captureFrame({ width: canvas.width, height: canvas.height });
  const sheet = new OffscreenCanvas(width, height);
  sheet.getContext('2d')!.putImageData(new ImageData(Uint8ClampedArray.from(atob(data), c => c.charCodeAt(0)), width, height), 0, 0);
  return sheet.convertToBlob({ type: 'image/png' });
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

async function get(url: string, version?: string): Promise<Response> {
  const answer = await fetch(url, { cache: version ? 'no-store' : 'default' });
  if (!answer.ok) throw new Error(`the file does not come (${answer.status})`);
  return answer;
}

// swap shows another splat in place of the one that is shown, and leaves the view as it is.
async function swap(v: ViewerHandle, file: File): Promise<void> {
  const contents = get(file.url, file.version);
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

const plain = (e: KeyboardEvent) => !e.ctrlKey && !e.metaKey && !e.altKey;

const turns: Record<string, [number, number]> = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

// key gives the keyboard what the mouse has: arrows turn, plus and minus go nearer and away. In fly mode the viewer itself
// moves by W A S D and the arrows.
function key(v: ViewerHandle, canvas: HTMLCanvasElement, e: KeyboardEvent): boolean {
  if (!v.state.loaded || !plain(e)) return false;
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
