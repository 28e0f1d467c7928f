// Words at places of the splat: the holder of the callback token writes them, who has a share reads them.
import { useEffect, useState } from 'preact/hooks';
import { type Note, type Notes, notes as read, offline, Problem, putNotes } from './api';
import { Cross } from './measure';
import { Trouble } from './parts';
import { Spot } from './spot';
import type { Scene } from './scene';

type Placing = { text: string; instead?: number };

// useNotes draws the pins in the scene and the list of the notes below it. With a token they can be changed; else given are shown.
export function useNotes(scene: Scene | undefined, token?: string, given?: Note[]) {
  const [doc, set] = useState<Notes>({ notes: [] });
  const [problem, setProblem] = useState<Problem>();
  const [placing, place] = useState<Placing>();
  const [missed, miss] = useState(false);
  const [shown, show] = useState<number>();
  const [text, write] = useState('');
  const { notes, version } = token ? doc : { notes: given ?? [], version: undefined };
  const troubled = (e: unknown) => setProblem(e instanceof Problem ? e : offline());
  useEffect(() => {
    if (token) read(token).then(set, troubled);
  }, [token]);

  const save = async (next: Note[]) => {
    setProblem(undefined);
    try {
      set(await putNotes(token!, { notes: next, version }));
      show(undefined);
      return true;
    } catch (e) {
      troubled(e);
      if (e instanceof Problem && e.code === 'notes_changed') await read(token!).then(set, troubled);
      return false;
    }
  };
  useEffect(() => {
    if (!placing || !scene) return;
    return scene.marking(position => {
      miss(!position);
      if (!position) return;
      const note = { position, text: placing.text };
      if (placing.instead !== undefined) void save(notes.map((n, i) => (i === placing.instead ? note : n)));
      else void save([...notes, note]).then(kept => kept && write(''));
      place(undefined);
    });
  }, [placing, scene, doc]);
  const begin = (what: Placing) => {
    miss(false);
    place(what);
    document.querySelector<HTMLElement>('.stage3d')?.focus(); // to turn it and to press Enter
  };

  const open = shown === undefined ? undefined : notes[shown];
  const pins = scene && (
    <>
      {notes.map((n, i) => <Spot key={i} scene={scene} at={n.position} class="pin"><button type="button" aria-label={`Note ${i + 1}: ${n.text}`} aria-expanded={shown === i} onClick={() => show(shown === i ? undefined : i)}>{i + 1}</button></Spot>)}
      {placing ? <><Cross /><div class="sofar"><p role="status">{missed ? 'There is nothing at that place. Choose another.' : 'Click the place, or turn it to the cross and press Enter.'}</p></div></>
        : open && <div class="sofar note-text"><p role="status">{open.text}</p></div>}
    </>
  );
  const list = (token || notes.length > 0) && (
    <section class="notes" aria-label="Notes">
      <h2>Notes</h2>
      {notes.length > 0 && <ol class="captures">{notes.map((n, i) => (
        <li key={i}>
          <span class="grow">{`${i + 1}. ${n.text}`}</span>
          {token && <><button type="button" class="quiet" aria-label={`Move note ${i + 1}`} onClick={() => begin({ text: n.text, instead: i })}>Move</button>
            <button type="button" class="quiet" aria-label={`Delete note ${i + 1}`} onClick={() => void save(notes.filter((_, k) => k !== i))}>Delete</button></>}
        </li>
      ))}</ol>}
      <Trouble problem={problem} />
      {token && (
        <form onSubmit={e => { e.preventDefault(); if (text.trim()) begin({ text: text.trim() }); }}>
          <label class="field">A new note<input value={text} maxLength={200} placeholder="What is there?" onInput={e => write(e.currentTarget.value)} /></label>
          {placing ? <button type="button" onClick={() => place(undefined)}>Do not place it</button> : <button type="submit" disabled={!text.trim() || !scene}>Choose its place</button>}
        </form>
      )}
    </section>
  );
  return { pins, list, placing: !!placing };
}
