// How far two points of the splat are apart.
import { useEffect, useRef, useState } from 'preact/hooks';
import { Spot } from './spot';
import type { Point, Scene } from './scene';

// A unit is a metre only where the report says so: by GPS positions, or by a distance that was given. Else sizes are known up to one factor.
export type Unit = 'metre' | 'unknown';

const between = (a: Point, b: Point) => Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);

// distance has two digits that count: more is not known of a point of a splat.
function distance(d: number, unit: Unit): string {
  const digits = Math.min(4, Math.max(0, 1 - Math.floor(Math.log10(Math.max(d, 1e-4)))));
  if (unit === 'unknown') return `${d.toFixed(digits)} units of the model`;
  return d < 1 ? `${(100 * d).toFixed(Math.max(0, digits - 2))} cm` : `${d.toFixed(digits)} m`;
}

export function Measure({ scene, unit }: { scene: Scene; unit: Unit }) {
  const [points, set] = useState<Point[]>([]);
  const [missed, miss] = useState(false);
  const line = useRef<SVGLineElement>(null);
  useEffect(() => scene.marking(at => {
    miss(!at);
    if (at) set(now => (now.length === 2 ? [at] : [...now, at]));
  }), [scene]);
  const [a, b] = points;
  useEffect(() => {
    if (!a || !b) return;
    return scene.onFrame(() => {
      const from = scene.place(a), to = scene.place(b), l = line.current;
      if (!l) return;
      l.style.visibility = from.seen && to.seen ? 'visible' : 'hidden';
      for (const [name, value] of [['x1', from.x], ['y1', from.y], ['x2', to.x], ['y2', to.y]] as const) l.setAttribute(name, `${value}`);
    });
  }, [scene, a, b]);
  const words = missed ? 'There is nothing at that place. Choose another.' : !a ? 'Click the first point, or turn it to the cross and press Enter.' : !b ? 'Now the second point.' : distance(between(a, b), unit);
  return (
    <>
      <Cross />
      {b && <svg class="line" aria-hidden="true"><line ref={line} /></svg>}
      {points.map((p, i) => <Spot key={i} scene={scene} at={p} class="dot" />)}
      <div class="sofar">
        <p role="status" class="measured">{words}</p>
        {b && !missed && <p>{unit === 'metre' ? 'By the GPS positions of the photos, or a distance that was given. The report says how exact that is.' : 'The true size is not known. One unit is about the distance from which the pictures were taken.'}</p>}
      </div>
    </>
  );
}

// Cross is where Enter marks a point.
export const Cross = () => <div class="cross" aria-hidden="true" />;
