// The camera in other hands than the viewer's: somebody walks, or it follows a path. The viewer sets its camera in every frame; who
// drives is asked after it.
import type { ViewerHandle } from '@playcanvas/supersplat-viewer/viewer';
import { type CameraComponent, type Entity, Vec3 } from 'playcanvas';
import type { Point, View } from './scene';

export type Pose = { position: Point; target: Point };
// Step is where the camera is after a number of seconds more; undefined ends the drive.
export type Step = (seconds: number) => Pose | undefined;

export const cameraOf = (v: ViewerHandle) => v.app.root.findByName('camera') as Entity & { camera: CameraComponent };

// viewOf turns about what is straight ahead and nearest to the middle of the world: the viewer keeps its own point to itself.
export function viewOf(v: ViewerHandle): View {
  const eye = cameraOf(v), from = eye.getPosition().clone(), ahead = eye.forward.clone();
  const distance = Math.max(0.2, -from.dot(ahead));
  const target = from.clone().add(ahead.mulScalar(distance));
  return { position: [from.x, from.y, from.z], target: [target.x, target.y, target.z], fly: v.state.cameraMode === 'fly' };
}

// place is the annotation of the viewer's settings that goTo writes the view into: the viewer has no other way to a given view.
export function driver(v: ViewerHandle, place: number) {
  let step: Step | undefined, ended: () => void;
  const goTo = ({ position, target }: Pose) => {
    const there = v.annotations[place] as { position: Point; camera: { initial: Pose } };
    there.position = target;
    Object.assign(there.camera.initial, { position, target });
    v.selectAnnotation(place);
    v.app.fire('update', 10); // the viewer glides there: let that be over
  };
  const stop = () => {
    if (!step) return;
    step = undefined;
    goTo(viewOf(v));
    ended();
  };
  v.app.on('update', (seconds: number) => {
    if (!step) return;
    const pose = step(seconds);
    if (!pose) return stop();
    const eye = cameraOf(v);
    eye.setPosition(new Vec3(pose.position));
    eye.lookAt(new Vec3(pose.target));
    [eye.camera.nearClip, eye.camera.farClip] = [0.01, 1000];
  });
  return {
    drive: (next: Step, then: () => void) => {
      stop();
      [step, ended] = [next, then];
    },
    driven: () => !!step,
    stop,
    goTo,
  };
}
