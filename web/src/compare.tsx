// Some views as they were photographed and as the splat shows them, one laid over the other. All are on one sheet: pairs.jpg, whose rows
// are in the report.
import { useEffect, useRef, useState } from 'preact/hooks';

export type Pair = { name: string; psnr_db: number; ssim: number; x: number; y: number; width: number; height: number };

export function Compare({ url, pairs, heldOut }: { url: string; pairs: Pair[]; heldOut: boolean }) {
  const [chosen, choose] = useState(0);
  const [percent, slide] = useState(50);
  const sheet = useSheet(url);
  const canvas = useRef<HTMLCanvasElement>(null);
  const pair = pairs[chosen] ?? pairs[0]!;
  useEffect(() => {
    const c = canvas.current, ctx = c?.getContext('2d');
    if (!c || !ctx || !sheet) return;
    if (c.width !== pair.width) c.width = pair.width;
    if (c.height !== pair.height) c.height = pair.height;
    const edge = Math.round((percent / 100) * pair.width), rest = pair.width - edge;
    if (edge > 0) ctx.drawImage(sheet, 0, pair.y, edge, pair.height, 0, 0, edge, pair.height);
    if (rest > 0) ctx.drawImage(sheet, pair.x + edge, pair.y, rest, pair.height, edge, 0, rest, pair.height);
  }, [sheet, pair, percent]);
  const ranked = pairs.map(p => p.psnr_db);
  const rank = (p: Pair) => (pairs.length < 2 ? '' : p.psnr_db === Math.min(...ranked) ? ', the worst' : p.psnr_db === Math.max(...ranked) ? ', the best' : '');
  if (sheet === null) return null;
  return (
    <section class="compare" aria-label="Photograph and splat">
      <h2>Photograph and splat</h2>
      <p class="muted">{heldOut ? 'Pictures that training never saw: what the splat knows of places between your pictures.' : 'Pictures that training saw: there were too few to leave any out.'}</p>
      {pairs.length > 1 && <label class="field">Picture<select value={chosen} onChange={e => choose(Number(e.currentTarget.value))}>{pairs.map((p, i) => <option key={i} value={i}>{`${p.name}${rank(p)}`}</option>)}</select></label>}
      <div style={{ maxWidth: `min(${1.5 * pair.width}px, ${(75 * pair.width) / pair.height}vh)` }}><div class="pair" style={{ '--at': `${percent}%` }}>
        <canvas ref={canvas} role="img" aria-label={`${pair.name}: photograph on the left, splat on the right`} />
        <span class="edge" aria-hidden="true" />
        <input type="range" min={0} max={100} value={percent} aria-label="Share of the photograph" aria-valuetext={`${percent} % photograph`} onInput={e => slide(Number(e.currentTarget.value))} />
      </div>
      <p class="numbers"><span>Photograph</span><span>{`${pair.psnr_db.toFixed(1)} dB, SSIM ${pair.ssim.toFixed(2)}`}</span><span>Splat</span></p></div>
    </section>
  );
}

// useSheet loads the picture once, though its link is renewed: undefined while it loads, null when it does not come.
function useSheet(url: string): HTMLImageElement | null | undefined {
  const [sheet, set] = useState<HTMLImageElement | null>();
  useEffect(() => {
    let gone = false;
    const img = new Image();
    img.onload = () => gone || set(img);
    img.onerror = () => gone || set(null);
    img.src = url;
    return () => { gone = true; };
  }, [url.split('?')[0]]);
  return sheet;
}
