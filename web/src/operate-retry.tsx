// Retry: a new request from a stage of an ended one, with other options. Which options there are is read from the API's own description.
import { useEffect, useState } from 'preact/hooks';
import type { Problem } from './api';
import { ask, asProblem, type Asked, type OptionSchema } from './desk';
import { stages } from './operate-queue';
import { Trouble } from './parts';

type Described = { components: { schemas: { Options: { properties: Record<string, OptionSchema> } } } };
type Retried = { request_id: string; session_id: string; callback_token?: string };

export function Retry({ asked }: { asked: Asked }) {
  const [schema, setSchema] = useState<Record<string, OptionSchema>>({});
  const [stage, setStage] = useState(asked.stage || 'filter');
  const [session, setSession] = useState(asked.status === 'COMPLETED' ? `${asked.session_id}-again` : '');
  const [options, setOptions] = useState<Record<string, unknown>>(asked.options);
  const [problem, setProblem] = useState<Problem>();
  const [made, setMade] = useState<Retried>();
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    ask<Described>('/openapi.json').then(d => setSchema(d.components.schemas.Options.properties), e => setProblem(asProblem(e)));
  }, []);
  const change = (name: string, value: unknown) => setOptions(now => {
    const next = { ...now, [name]: value };
    if (value === undefined || value === '') delete next[name];
    return next;
  });
  const retry = async (e: Event) => {
    e.preventDefault();
    setBusy(true);
    setProblem(undefined);
    try {
      setMade(await ask<Retried>(`/retry/${encodeURIComponent(asked.request_id)}`, 'POST', { stage, options, ...(session ? { session_id: session } : {}) }));
    } catch (e) {
      setProblem(asProblem(e));
    }
    setBusy(false);
  };
  return (
    <section aria-label="Retry">
      <h2>Retry</h2>
      <p class="muted">A new request, which begins at a stage with what this one's earlier stages left.</p>
      <form onSubmit={retry}>
        <div class="filters">
          <label class="field">From<select value={stage} onChange={e => setStage(e.currentTarget.value)}>{stages.map(s => <option key={s} value={s}>{s}</option>)}</select></label>
          <label class="field">Session<input value={session} maxLength={128} placeholder="the same one" onInput={e => setSession(e.currentTarget.value)} /></label>
        </div>
        <details>
          <summary>Other options</summary>
          <div class="filters options">{Object.entries(schema).map(([name, s]) => <Option key={name} name={name} schema={s} value={options[name]} change={v => change(name, v)} />)}</div>
        </details>
        <p><button type="submit" class="primary" disabled={busy}>Retry</button></p>
      </form>
      <Trouble problem={problem} />
      {made && (
        <div class="note made" role="status">
          <p><a href={`#/r/${made.request_id}`}>{made.session_id}</a> has begun.</p>
          {made.callback_token && <p>Its callback token, for the client: <code>{made.callback_token}</code></p>}
        </div>
      )}
    </section>
  );
}

function Option({ name, schema, value, change }: { name: string; schema: OptionSchema; value: unknown; change: (v: unknown) => void }) {
  const label = name.replaceAll('_', ' ');
  const usual = schema.default === undefined ? '' : ` (${schema.default})`;
  if (schema.type === 'boolean') return <label class="check" title={schema.description}><input type="checkbox" checked={Boolean(value ?? schema.default)} onChange={e => change(e.currentTarget.checked)} />{label}</label>;
  if (schema.enum) return <label class="field" title={schema.description}>{label}<select value={String(value ?? '')} onChange={e => change(e.currentTarget.value)}><option value="">as usual{usual}</option>{schema.enum.map(v => <option key={v} value={v}>{v}</option>)}</select></label>;
  if (schema.type === 'number' || schema.type === 'integer') {
    return <label class="field" title={schema.description}>{label}<input type="number" step={schema.type === 'integer' ? 1 : 'any'} min={schema.minimum} max={schema.maximum} value={value === undefined ? '' : String(value)} onInput={e => change(e.currentTarget.value === '' ? undefined : Number(e.currentTarget.value))} /></label>;
  }
  if (schema.type === 'array') return <label class="field" title={schema.description}>{label}<input value={Array.isArray(value) ? value.join(' ') : ''} placeholder="as usual" onInput={e => change(e.currentTarget.value.trim() ? e.currentTarget.value.trim().split(/[\s,]+/) : undefined)} /></label>;
  return <label class="field" title={schema.description}>{label}<input value={String(value ?? '')} placeholder={`as usual${usual}`} onInput={e => change(e.currentTarget.value)} /></label>;
}
