// My captures: the list that this browser keeps.
import { ended } from './api';
import { type Capture, forget, useCaptures } from './captures';
import { day, word } from './format';

export function Captures() {
  const list = useCaptures();
  return (
    <section>
      <h1>My captures</h1>
      <p class="muted">This list is kept in this browser only. Everybody who uses this browser can open what is in it.</p>
      {list.length === 0 ? <p>Nothing yet. <a href="#/">Begin with a video or photos.</a></p> : (
        <ul class="captures">
          {list.map(c => (
            <li key={c.id}>
              <a href={`#/c/${c.id}`}><strong>{c.title}</strong><span class="muted">{day(c.created)}</span></a>
              <span class={`pill ${c.status ?? ''}`}>{word(c)}</span>
              <button type="button" class="quiet" aria-label={`Remove ${c.title} from this list`} onClick={() => remove(c)}>Remove</button>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

function remove(c: Capture) {
  const going = !ended(c.status) && c.status !== 'GONE';
  if (confirm(`Remove “${c.title}” from this list?${going ? ' That does not cancel it.' : ''} Without its entry nobody can open it any more.`)) forget(c.id);
}
