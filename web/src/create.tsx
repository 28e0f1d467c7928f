// A new capture begins with its files; what is asked about them comes after.
import { useEffect, useState } from 'preact/hooks';
import { useCaptures } from './captures';
import { accept, bytes, plural, word } from './format';
import { later } from './later';

const Chosen = later(() => import('./chosen').then(m => m.Chosen));

export function Create() {
  const [files, setFiles] = useState<File[]>([]);
  const all = useCaptures();
  const recent = all.slice(0, 3);
  return (
    <div class="create">
      <section class="hero">
        <h1>A video becomes a place</h1>
        <p class="lead">Film a room, a garden or a thing while you walk around it. You get a 3D scene that you can move through.</p>
      </section>
      <Drop onFiles={f => f.length && setFiles(f)} chosen={files} />
      {files.length > 0 && <Chosen files={files} />}
      {recent.length > 0 && files.length === 0 && (
        <section class="recent" aria-label="Recent captures">
          <h2>Recent</h2>
          <ul class="captures">{recent.map(c => <li key={c.id}><a href={`#/c/${c.id}`}><strong>{c.title}</strong></a><span class={`pill ${c.status ?? ''}`}>{word(c)}</span></li>)}</ul>
          {all.length > recent.length && <a href="#/captures">All of them</a>}
        </section>
      )}
      {files.length === 0 && (
        <section class="how" aria-label="How to film">
          <h2>What makes a good capture</h2>
          <ol>
            <li><strong>Walk, don’t turn.</strong> Move sideways around things; a camera that only turns sees no depth.</li>
            <li><strong>Slowly, and in good light.</strong> Sharp pictures matter more than many.</li>
            <li><strong>Half a minute to two minutes.</strong> Look at everything from two heights, and come back to where you began.</li>
          </ol>
        </section>
      )}
    </div>
  );
}

function Drop({ onFiles, chosen }: { onFiles: (f: File[]) => void; chosen: File[] }) {
  const [over, setOver] = useState(false);
  useEffect(() => {
    // A file that misses the field must not replace the page.
    const stop = (e: DragEvent) => e.preventDefault();
    addEventListener('dragover', stop);
    addEventListener('drop', stop);
    return () => {
      removeEventListener('dragover', stop);
      removeEventListener('drop', stop);
    };
  }, []);
  return (
    <label class={`drop ${over ? 'over' : ''} ${chosen.length ? 'small' : ''}`} onDragOver={() => setOver(true)} onDragLeave={() => setOver(false)}
      onDrop={e => { setOver(false); onFiles([...(e.dataTransfer?.files ?? [])]); }}>
      <input type="file" multiple accept={accept} onChange={e => { onFiles([...(e.currentTarget.files ?? [])]); e.currentTarget.value = ''; }} />
      {chosen.length ? (
        <><strong>{chosen.length === 1 ? chosen[0]!.name : plural(chosen.length, 'file')}</strong><span class="muted">{bytes(chosen.reduce((n, f) => n + f.size, 0))} · choose something else</span></>
      ) : (
        <><strong>Choose a video or photos</strong><span class="muted">or drop them here. MP4, MOV, WebM, JPEG, PNG, HEIC, or a zip of photos</span></>
      )}
    </label>
  );
}
