import { useState } from 'preact/hooks';

/** Asks for a key. */
export function KeyForm({ action, onKey }: { action: string; onKey: (key: string) => void }) {
  const [key, setKey] = useState('');
  const submit = (event: Event) => {
    event.preventDefault();
    if (key !== '') onKey(key);
  };
  return (
    <form class="keyform" onSubmit={submit}>
      <label class="field">
        <span>Key</span>
        <input
          type="password"
          value={key}
          autocomplete="off"
          onInput={(event) => setKey(event.currentTarget.value.trim())}
        />
      </label>
      <button type="submit" class="button primary" disabled={key === ''}>
        {action}
      </button>
    </form>
  );
}
