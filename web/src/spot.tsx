// Something that stays at a point of the splat while the view moves.
import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import type { Point, Scene } from './scene';

export function Spot({ scene, at, class: name, children }: { scene: Scene; at: Point; class: string; children?: ComponentChildren }) {
  const spot = useRef<HTMLDivElement>(null);
  useEffect(() => scene.onFrame(() => {
    const s = spot.current, to = scene.place(at);
    if (!s) return;
    s.style.visibility = to.seen ? 'visible' : 'hidden';
    s.style.transform = `translate(${to.x}px, ${to.y}px)`;
  }), [scene, at]);
  return <div class={`spot ${name}`} ref={spot}>{children}</div>;
}
