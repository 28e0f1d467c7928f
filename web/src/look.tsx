// What came out: the splat to move through, the film, the files, and the report.
import type { ComponentChildren } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { call, type Note, type Result, type Warning } from './api';
import { bytes } from './format';
import { later } from './later';
import './look.css';
import { useNotes } from './notes';
import { Warnings } from './parts';
import type { Report } from './report';
import type { Scene } from './scene';
import { nearFirstCamera, Viewer, type ViewerProps } from './viewer';

const about: Record<string, string> = {
  viewer: 'A page that opens in a browser, without a server', sog: 'For the web: this viewer, SuperSplat, PlayCanvas', splat: 'The standard file: every splat viewer and editor', spz: 'Small: three.js, Scaniverse, SuperSplat',
  'spz-v3': 'Small, for older readers such as Spark', glb: 'glTF with Gaussian splats', 'compressed-ply': 'Smaller PLY: SuperSplat, Spark',
  orbit: 'A film around it', thumbnail: 'A picture', report: 'All numbers, for programs', sparse_model: 'Camera poses, as COLMAP keeps them',
  scene: 'Undistorted pictures with poses, for other trainers', cameras: 'Where the cameras were', capture_report: 'What was good and bad about the capture',
  'streamed-sog': 'Levels of detail for large splats: PlayCanvas, SuperSplat', '3d-tiles': 'Levels of detail on the globe: CesiumJS',
  mesh: 'Its surface with a texture: three.js, Blender, game engines', mesh_obj: 'The same as OBJ', mesh_stl: 'The same for 3D printers', mesh_collision: 'The same with few faces, to walk on',
  contact_sheet: 'The pictures that were chosen', depth_grid: 'Pictures beside their depth', comparison: 'Worst and best view, beside their photographs',
  pairs: 'Photographs on the left, the splat on the right',
};
const pictures = ['comparison', 'contact_sheet', 'cameras', 'depth_grid'];

// token: of who may write notes. notes: those that a guest reads.
export type ResultsProps = { title: string; results: Result[]; token?: string; notes?: Note[]; warnings?: Warning[]; report: boolean; home: string; share?: ComponentChildren };

export function Results({ title, results, token, notes, warnings, report, home, share }: ResultsProps) {
  const of = (kind: string) => results.find(r => r.kind === kind);
  const doc = useReport(of('report')?.url);
  const [scene, setScene] = useState<Scene>();
  const { pins, list, placing } = useNotes(scene, token, notes);
  if (report) return <ReportView title={title} doc={doc} results={results} home={home} />;
  const film = of('orbit'), pairs = of('pairs');
  return (
    <section class="look">
      <h1>{title}</h1>
      <Shown results={results} doc={doc} title={title} keep={home} onScene={setScene} busy={placing}>{pins}</Shown>
      {doc && <p class="numbers facts"><Facts doc={doc} /><a href={`${home}/report`}>The whole report</a></p>}
      {shownFile(results) && <OwnFilm scene={scene} title={title} />}
      <Warnings list={warnings ?? doc?.warnings} />
      {pairs && doc?.quality?.pairs?.length && <Compare url={pairs.url} pairs={doc.quality.pairs} heldOut={doc.quality.held_out > 0} />}
      {list}
      {share}
      {film && <section aria-label="Film"><h2>Film</h2><video controls playsInline loop preload="metadata" src={film.url} poster={of('thumbnail')?.url} aria-label="A film around the result" /></section>}
      <section aria-label="Files">
        <h2>Files</h2>
        <ul class="files">
          {results.map(r => <li key={r.kind + r.file_name}><a href={r.url} download={r.file_name}><strong>{r.file_name}</strong><span class="muted">{about[r.kind] ?? ''}</span></a><span class="size">{bytes(r.size)}</span></li>)}
        </ul>
      </section>
      {pictures.some(of) && (
        <section aria-label="Pictures">
          <h2>Pictures</h2>
          <div class="pictures">{pictures.map(of).map(r => r && <figure key={r.kind}><a href={r.url} aria-label={`Open ${r.file_name}`}><img src={r.url} alt={about[r.kind]} loading="lazy" /></a><figcaption>{about[r.kind]}</figcaption></figure>)}</div>
        </section>
      )}
    </section>
  );
}

// Embedded is the viewer alone, for a frame on another page.
export function Embedded({ title, results, notes, page }: { title: string; results: Result[]; notes?: Note[]; page: string }) {
  const [scene, setScene] = useState<Scene>();
  const { pins } = useNotes(scene, undefined, notes);
  const report = results.find(r => r.kind === 'report');
  const doc = useReport(report?.url);
  return (
    <section class="embedded" aria-label={title}>
      <h1 class="visually-hidden">{title}</h1>
      <Shown results={results} doc={doc} title={title} keep={page} onScene={setScene}>{pins}</Shown>
      <a class="button" href={page} target="_blank" rel="noopener">Open</a>
    </section>
  );
}

function Facts({ doc }: { doc: Report }) {
  const { images, quality, splat } = doc;
  const facts = [
    images?.registered && images.used ? `${images.registered} of ${images.used} pictures placed` : '',
    splat ? `${splat.gaussians.toLocaleString()} Gaussians` : '',
    quality ? `${quality.psnr_db.toFixed(1)} dB` : '',
  ].filter(Boolean);
  return <span>{facts.join(' · ')}</span>;
}

// useReport reads report.json once: undefined while it is read, null when it cannot be.
function useReport(url?: string): Report | null | undefined {
  const [doc, setDoc] = useState<Report | null>();
  const path = url?.split('?')[0]; // its signature changes, the file does not
  useEffect(() => {
    if (url) call(url).then(a => a.json()).then(setDoc, () => setDoc(null));
  }, [path]);
  return doc;
}

const OwnFilm = later(() => import('./film').then(m => m.OwnFilm));
const Compare = later(() => import('./compare').then(m => m.Compare));
const ReportPage = later(() => import('./report').then(m => m.ReportPage));

function ReportView({ title, doc, results, home }: { title: string; doc?: Report | null; results: Result[]; home: string }) {
  return (
    <section class="report">
      <p class="no-print"><a href={home}>Back to the scene</a></p>
      {doc === null ? <><h1>{title}</h1><p>The report cannot be read.</p></> : doc ? <ReportPage title={title} doc={doc} results={results} /> : <p role="status">Loading the report…</p>}
    </section>
  );
}

// The kinds that the viewer reads, best first. Levels of detail are there for a splat that is too large to be loaded whole.
const readable = ['streamed-sog', 'sog', 'compressed-ply', 'splat'];
const shownFile = (results: Result[]) => readable.map(kind => results.find(r => r.kind === kind)).find(Boolean);

// startOf is where the film starts. What was cut out, and what another tool placed, is shown whole.
const startOf = (doc?: Report | null) => doc?.splat?.view ?? (doc?.sfm?.world?.unit === 'view_distance' && !doc.splat?.cropped ? nearFirstCamera : undefined);

type ShownProps = Pick<ViewerProps, 'title' | 'keep' | 'onScene' | 'busy' | 'children'> & { results: Result[]; doc?: Report | null };

function Shown({ results, doc, ...rest }: ShownProps) {
  const of = (kind: string) => results.find(r => r.kind === kind);
  const file = shownFile(results);
  if (!file) return <p class="note warn">No file here that this viewer opens: it reads .sog and .ply.</p>;
  const unit = doc?.sfm?.world?.unit;
  return <Viewer file={file} poster={of('thumbnail')?.url} start={startOf(doc)} ready={!of('report') || doc !== undefined} unit={unit === 'metre' ? unit : 'unknown'} ground={of('mesh_collision')?.url} mesh={of('mesh')?.url}
    otherwise="The files below are fine." {...rest} />;
}
