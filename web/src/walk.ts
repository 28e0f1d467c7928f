// Walking on the mesh for collisions: a ray down finds the floor, rays ahead find walls. Everything is in the viewer's coordinates,
// where y is up. All lengths are shares of the height of the walker's eyes, so it holds for any unit.
import type { Pose, Step } from './drive';
import type { Point, View } from './scene';

const speed = 1.2; // eye heights in a second
const girth = 0.15; // what is kept from walls
const stepUp = 0.35; // what a foot gets over
const stepDown = 0.7; // further down there is no way
const bodyHeights = [stepUp, 0.65, 1]; // where a wall stops the walker
const degrees = Math.PI / 180;

// readGround returns the corners of the triangles, nine numbers for each. engines/mesh writes such files: one primitive, no gaps. From
// glTF's axes to the viewer's is half a turn about y.
export function readGround(glb: ArrayBuffer): Float32Array {
  const head = new DataView(glb), text = head.getUint32(12, true);
  const doc = JSON.parse(new TextDecoder().decode(new Uint8Array(glb, 20, text)));
  const { attributes, indices } = doc.meshes[0].primitives[0];
  const numbers = (accessor: number): [ArrayBuffer, number] => [glb, 28 + text + doc.bufferViews[doc.accessors[accessor].bufferView].byteOffset];
  const positions = new Float32Array(...numbers(attributes.POSITION), 3 * doc.accessors[attributes.POSITION].count);
  const corners = new Uint32Array(...numbers(indices), doc.accessors[indices].count);
  const triangles = new Float32Array(3 * corners.length);
  corners.forEach((from, i) => triangles.set([-positions[3 * from]!, positions[3 * from + 1]!, -positions[3 * from + 2]!], 3 * i));
  return triangles;
}

export type Hit = { distance: number; normal: Point };

// hit is the first triangle on a ray of length far, from either side (Möller and Trumbore, 1997). along has length 1.
export function hit(t: Float32Array, [ox, oy, oz]: Point, [dx, dy, dz]: Point, far: number): Hit | undefined {
  let nearest = far, found = -1;
  for (let i = 0; i < t.length; i += 9) {
    const ax = t[i]!, ay = t[i + 1]!, az = t[i + 2]!;
    const ux = t[i + 3]! - ax, uy = t[i + 4]! - ay, uz = t[i + 5]! - az, vx = t[i + 6]! - ax, vy = t[i + 7]! - ay, vz = t[i + 8]! - az;
    const px = dy * vz - dz * vy, py = dz * vx - dx * vz, pz = dx * vy - dy * vx;
    const det = ux * px + uy * py + uz * pz;
    if (det === 0) continue;
    const sx = ox - ax, sy = oy - ay, sz = oz - az;
    const u = (sx * px + sy * py + sz * pz) / det;
    if (!(u >= 0 && u <= 1)) continue;
    const qx = sy * uz - sz * uy, qy = sz * ux - sx * uz, qz = sx * uy - sy * ux;
    const v = (dx * qx + dy * qy + dz * qz) / det, d = (vx * qx + vy * qy + vz * qz) / det;
    if (v >= 0 && u + v <= 1 && d > 0 && d < nearest) [nearest, found] = [d, i];
  }
  if (found < 0) return undefined;
  const u = [0, 1, 2].map(k => t[found + 3 + k]! - t[found + k]!), v = [0, 1, 2].map(k => t[found + 6 + k]! - t[found + k]!);
  return { distance: nearest, normal: [u[1]! * v[2]! - u[2]! * v[1]!, u[2]! * v[0]! - u[0]! * v[2]!, u[0]! * v[1]! - u[1]! * v[0]!] };
}

// drop is how far below p the floor is; undefined: there is none.
export const drop = (ground: Float32Array, p: Point) => hit(ground, p, [0, -1, 0], Infinity)?.distance;

const turnKeys: Record<string, [number, number]> = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], PageUp: [0, 1], PageDown: [0, -1] };
const moveKeys: Record<string, [number, number]> = { ArrowUp: [0, 1], ArrowDown: [0, -1], w: [0, 1], s: [0, -1], a: [-1, 0], d: [1, 0] };

export type Walker = {
  step: Step;
  move: (x: number, z: number) => void; // to the right and ahead, at most 1, until the next call
  turn: (yaw: number, pitch: number) => void; // in degrees, to the left and up
  key: (name: string, down: boolean) => boolean; // whether the key does something here
  rest: () => void; // no key is held any more
};

// walker stands up on the floor below a view and looks where the view does; undefined: there is no floor below.
export function walker(ground: Float32Array, height: number, from: View): Walker | undefined {
  const below = drop(ground, from.position);
  if (below === undefined) return undefined;
  let [x, eye, z] = from.position, feet = eye - below;
  const ahead = from.target.map((t, k) => t - from.position[k]!) as Point;
  let yaw = Math.atan2(-ahead[0], -ahead[2]), pitch = Math.atan2(ahead[1], Math.hypot(ahead[0], ahead[2]));
  let pad: [number, number] = [0, 0];
  const held = new Set<string>();

  // floor is what a foot at a place finds; a hole as wide as the walker is stepped over.
  const floor = (x: number, z: number) => {
    for (const [dx, dz] of [[0, 0], [girth, 0], [-girth, 0], [0, girth], [0, -girth]] as const) {
      const found = hit(ground, [x + dx * height, feet + stepUp * height, z + dz * height], [0, -1, 0], (stepUp + stepDown) * height);
      if (found) return feet + stepUp * height - found.distance;
    }
    return undefined;
  };
  const wall = (dx: number, dz: number, far: number) => {
    for (const share of bodyHeights) {
      const found = hit(ground, [x, feet + share * height, z], [dx, 0, dz], far + girth * height);
      if (found) return found.normal;
    }
    return undefined;
  };
  // go takes a way as far as it is free: along a wall that is in it, and never to where there is no floor.
  const go = (mx: number, mz: number, again: boolean): void => {
    const far = Math.hypot(mx, mz);
    if (!(far > 0)) return;
    const n = wall(mx / far, mz / far, far);
    if (n) {
      const flat = n[0] * n[0] + n[2] * n[2], into = flat > 0 ? (mx * n[0] + mz * n[2]) / flat : 0;
      if (again && into !== 0) go(mx - into * n[0], mz - into * n[2], false);
      return;
    }
    const y = floor(x + mx, z + mz);
    if (y !== undefined) [x, z, feet] = [x + mx, z + mz, y];
  };
  const sum = (keys: Record<string, number[]>) => [0, 1].map(i => [...held].reduce((n, key) => n + (keys[key]?.[i] ?? 0), 0));
  const turn = (left: number, up: number) => {
    yaw += left * degrees;
    pitch = Math.min(80 * degrees, Math.max(-80 * degrees, pitch + up * degrees));
  };
  return {
    move: (x, z) => { pad = [x, z]; },
    turn,
    key: (name, down) => {
      const key = name.length === 1 ? name.toLowerCase() : name;
      if (down) held.add(key);
      else held.delete(key);
      return key in turnKeys || key in moveKeys;
    },
    rest: () => held.clear(),
    step: seconds => {
      const s = Math.min(seconds, 0.1), [left = 0, up = 0] = sum(turnKeys), [right = 0, forth = 0] = sum(moveKeys);
      turn(70 * s * left, 50 * s * up);
      const mx = right + pad[0], mz = forth + pad[1], far = (speed * height * s) / Math.max(1, Math.hypot(mx, mz));
      go(far * (mx * Math.cos(yaw) - mz * Math.sin(yaw)), far * (-mx * Math.sin(yaw) - mz * Math.cos(yaw)), true);
      eye += (feet + height - eye) * (1 - Math.exp(-8 * s));
      const level = Math.cos(pitch);
      const pose: Pose = { position: [x, eye, z], target: [x - height * level * Math.sin(yaw), eye + height * Math.sin(pitch), z - height * level * Math.cos(yaw)] };
      return pose;
    },
  };
}
