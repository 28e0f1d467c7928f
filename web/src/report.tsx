// report.json for people, on the screen and on paper.
import type { Result, Warning } from './api';
import type { Pair } from './compare';
import { bytes, count, day, duration } from './format';
import { Warnings } from './parts';
import type { Start } from './scene';
import { stageName } from './stages';

type Stage = { stage: string; attempt?: number; started_at?: string; finished_at?: string; wall_s?: number; cpu_s?: number; peak_rss_bytes?: number; cost_usd?: number };
export type Report = {
  request_id?: string; options?: Record<string, unknown>;
  images?: { input?: number; used?: number; registered?: number };
  sfm?: { mapper: string; points: number; reprojection_error_px: number; mean_track_length: number; reason?: string; world?: { unit?: string; up?: string } };
  depth?: { model?: string; skipped?: string; images?: number; aligned: number; residual?: number };
  training?: { background_mode: string; sky_gaussians: number; refined_poses?: number; refined_deg?: number; exposure_stops?: number };
  splat?: { gaussians: number; sh_degree: number; bytes?: number; cropped?: number; view?: Start };
  quality?: { psnr_db: number; corrected_psnr_db?: number; ssim: number; held_out: number; width: number; height: number; iterations?: number; pairs?: Pair[] };
  stages?: Stage[]; cost_usd?: number; warnings?: Warning[];
};

export function ReportPage({ title, doc, results }: { title: string; doc: Report; results: Result[] }) {
  const { images, sfm, depth, training, splat, quality, stages = [] } = doc;
  const sum = (f: (s: Stage) => number | undefined) => stages.reduce((n, s) => n + (f(s) ?? 0), 0);
  const end = stages[stages.length - 1]?.finished_at;
  const share = images?.registered && images.used ? images.registered / images.used : undefined;
  const pairs = results.find(r => r.kind === 'pairs');
  const comparison = results.find(r => r.kind === 'comparison');
  return (
    <>
      <h1>{title}: report</h1>
      <p class="muted">{end && day(end)}{doc.request_id && <> · request <code>{doc.request_id}</code></>}</p>
      <dl class="tiles">
        {share !== undefined && <div><dt>Pictures placed</dt><dd>{Math.round(100 * share)} %</dd><dd>{images!.registered} of {images!.used} used, out of {images!.input}</dd></div>}
        {quality && <div><dt>Likeness</dt><dd>{quality.psnr_db.toFixed(2)} dB</dd><dd>PSNR on {quality.held_out ? `${quality.held_out} pictures that training never saw` : 'the training pictures: too few to hold any out'}{quality.corrected_psnr_db ? `; ${quality.corrected_psnr_db.toFixed(2)} dB with exposure and white balance corrected` : ''}</dd></div>}
        {quality && <div><dt>Structure</dt><dd>{quality.ssim.toFixed(3)}</dd><dd>SSIM at {quality.width} × {quality.height}; 1 is the same picture</dd></div>}
        {stages.length > 0 && <div><dt>Time</dt><dd>{duration(sum(s => s.wall_s))}</dd><dd>{duration(sum(s => s.cpu_s))} of processor time{doc.cost_usd ? `, about ${doc.cost_usd.toFixed(2)} USD` : ''}</dd></div>}
      </dl>
      <Warnings list={doc.warnings} />
      <h2>What was found</h2>
      <table><tbody>
        {sfm && <Row name="Camera poses">{sfm.mapper === 'mapper' ? 'incremental mapper' : 'global mapper'}, {count(sfm.points)} points, {sfm.reprojection_error_px.toFixed(2)} px reprojection error, each point seen in {sfm.mean_track_length.toFixed(1)} pictures</Row>}
        {sfm?.reason && <Row name="Why this model">{sfm.reason}</Row>}
        {depth && <Row name="Depth">{depth.skipped ? `none: ${depth.skipped}` : `${depth.model}, ${depth.aligned} of ${depth.images} pictures aligned, off by ${(100 * (depth.residual ?? 0)).toFixed(1)} %`}</Row>}
        {training && <Row name="Training">background {training.background_mode}{training.sky_gaussians > 0 && `, a sky of ${count(training.sky_gaussians)} Gaussians`}{training.refined_poses ? `, ${training.refined_poses} cameras turned by ${(training.refined_deg ?? 0).toFixed(3)}°` : ''}{training.exposure_stops ? `, exposures up to ${training.exposure_stops.toFixed(1)} stops apart` : ''}{quality?.iterations ? `, ${count(quality.iterations)} steps` : ''}</Row>}
        {splat && <Row name="Splat">{count(splat.gaussians)} Gaussians, spherical harmonics of degree {splat.sh_degree}{splat.bytes ? `, ${bytes(splat.bytes)} as PLY` : ''}</Row>}
      </tbody></table>
      {stages.length > 0 && <>
        <h2>What it took</h2>
        <div class="wide" tabIndex={0} role="region" aria-label="Time and memory of each stage">
          <table class="figures">
            <thead><tr><th scope="col">Stage</th><th scope="col">Seconds</th><th scope="col">CPU seconds</th><th scope="col">Memory</th>{doc.cost_usd ? <th scope="col">USD</th> : null}</tr></thead>
            <tbody>
              {stages.map(s => <tr key={s.stage}><th scope="row">{stageName(s.stage)}</th><td>{(s.wall_s ?? 0).toFixed(1)}</td><td>{(s.cpu_s ?? 0).toFixed(1)}</td><td>{bytes(s.peak_rss_bytes ?? 0)}</td>{doc.cost_usd ? <td>{(s.cost_usd ?? 0).toFixed(4)}</td> : null}</tr>)}
              <tr><th scope="row">Together</th><td>{sum(s => s.wall_s).toFixed(1)}</td><td>{sum(s => s.cpu_s).toFixed(1)}</td><td /> {doc.cost_usd ? <td>{doc.cost_usd.toFixed(4)}</td> : null}</tr>
            </tbody>
          </table>
        </div>
      </>}
      {quality?.pairs?.length ? <>
        <h2>{quality.held_out ? 'Pictures that training never saw' : 'Some pictures of training'}</h2>
        <table class="figures pairs">
          <thead><tr><th scope="col">Picture</th><th scope="col">PSNR, dB</th><th scope="col">SSIM</th></tr></thead>
          <tbody>{quality.pairs.map((p, i) => <tr key={i}><th scope="row">{p.name}</th><td>{p.psnr_db.toFixed(1)}</td><td>{p.ssim.toFixed(3)}</td></tr>)}</tbody>
        </table>
        {pairs && <figure><img src={pairs.url} alt="Each of these pictures, the photograph beside what the splat shows there" /><figcaption>In this order: photographs on the left, the splat on the right.</figcaption></figure>}
      </> : null}
      {comparison && <figure><img src={comparison.url} alt="The worst and the best measured view, each photograph beside what the splat shows there" /><figcaption>The worst and the best measured view, each photograph beside what the splat shows there.</figcaption></figure>}
      <p class="no-print"><button type="button" onClick={() => print()}>Print</button></p>
    </>
  );
}

const Row = ({ name, children }: { name: string; children: preact.ComponentChildren }) => <tr><th scope="row">{name}</th><td>{children}</td></tr>;
