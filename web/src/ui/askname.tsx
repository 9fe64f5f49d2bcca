import { useState } from 'preact/hooks';
import { nameTrouble } from '../name';

/** Asks for a stream's name and goes to `/{page}/{name}`. */
export function AskName({ page, action }: { page: 'publish' | 'watch'; action: string }) {
  const [name, setName] = useState('');
  const [tried, setTried] = useState(false);
  const trouble = tried || name !== '' ? nameTrouble(name) : null;
  const submit = (event: Event) => {
    event.preventDefault();
    setTried(true);
    if (nameTrouble(name) === null) location.assign(`/${page}/${name}`);
  };
  return (
    <form class="askname" onSubmit={submit}>
      <label class="field">
        <span>Stream name</span>
        <input
          value={name}
          onInput={(event) => setName(event.currentTarget.value.trim())}
          placeholder="live"
          autocapitalize="none"
          autocomplete="off"
          spellcheck={false}
          aria-invalid={trouble !== null}
          aria-describedby="name-trouble"
          autofocus
        />
      </label>
      <p id="name-trouble" class="trouble" role="status">
        {trouble}
      </p>
      <button type="submit" class="button primary">
        {action}
      </button>
    </form>
  );
}
