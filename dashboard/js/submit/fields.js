// Fields of the form, made from the schema: a label, what it means, what holds without a word, and what is wrong.

import { html } from '../../vendor/lit-html/lit-html.js';
import { live } from '../../vendor/lit-html/directives/live.js';
import { capital, prose, words } from '../text.js';
import { shapeOf, textOf } from './schema.js';

/** @import { Drawn, Schema } from '../types.js' */
/** @import { Description, Shape } from './schema.js' */
/** @import { Draft } from './draft.js' */

/**
 * @typedef {{ api: Description, draft: Draft, problems: Map<string, string>, earlier: Record<string, any> | null, changed: () => void }} Form
 */

/** @param {string} path */
export function idOf(path) {
    return `field-${path.replaceAll('.', '-')}`;
}

/**
 * @param {Form} form
 * @param {string} path
 * @param {Schema} schema
 * @param {boolean} [asJson] Whether an object is one text.
 * @returns {Drawn}
 */
export function field(form, path, schema, asJson = false) {
    const found = shapeOf(schema, form.api);
    /** @type {Shape} */
    const shape = asJson ? { ...found, kind: 'json' } : found;
    if (shape.kind === 'object') return fields(form, path, shape);
    const id = idOf(path);
    const problem = form.problems.get(path) ?? '';
    const name = capital(words(/** @type {string} */ (path.split('.').at(-1))));
    return html`<div class="field">
        ${shape.kind === 'choices' ? html`<span class="label" id="${id}-label">${name}</span>` : html`<label for=${id}>${name}</label>`}
        ${control(form, path, shape, id, problem !== '')}
        ${shape.description ? html`<p class="help" id="${id}-help">${prose(shape.description)}</p>` : html`<p class="visually-hidden" id="${id}-help"></p>`}
        <p class="field-problem" id="${id}-problem" role="alert">${prose(problem)}</p>
    </div>`;
}

/**
 * @param {Form} form
 * @param {string} path
 * @param {Shape} shape
 */
function fields(form, path, { schema, description }) {
    return html`<fieldset class="group" id=${idOf(path)}>
        <legend>${capital(words(/** @type {string} */ (path.split('.').at(-1))))}</legend>
        ${description ? html`<p class="help">${prose(description)}</p>` : null}
        <p class="field-problem" role="alert">${prose(form.problems.get(path) ?? '')}</p>
        <div class="field-grid">${Object.entries(schema.properties ?? {}).map(([name, property]) => field(form, `${path}.${name}`, property))}</div>
    </fieldset>`;
}

/**
 * @param {Form} form
 * @param {string} path
 * @param {Shape} shape
 * @param {string} id
 * @param {boolean} isWrong
 */
function control(form, path, shape, id, isWrong) {
    const { draft, changed } = form;
    const described = `${id}-help ${id}-problem`;
    const invalid = isWrong ? 'true' : 'false';
    const text = draft.text(path);
    const usual = usualText(form, path, shape);
    const write = (/** @type {Event} */ event) => {
        draft.write(path, /** @type {HTMLInputElement} */ (event.target).value, shape);
        form.problems.delete(path);
        changed();
    };
    if (shape.kind === 'choice' || shape.kind === 'boolean') {
        const options = shape.kind === 'boolean' ? ['true', 'false'] : shape.options;
        /** @param {string} option */
        const name = (option) => ({ true: 'yes', false: 'no' })[option] ?? words(option);
        const nothing = shape.isNullable ? 'not set' : 'as usual';
        const unsaid = usual === '' ? nothing : `${name(usual)} (${form.earlier ? 'as before' : 'default'})`;
        return html`<select id=${id} aria-describedby=${described} aria-invalid=${invalid} .value=${live(text)} @change=${write}>
            <option value="">${unsaid}</option>
            ${options.map((option) => html`<option value=${option} ?selected=${option === text}>${name(option)}</option>`)}
        </select>`;
    }
    if (shape.kind === 'choices') {
        const chosen = (draft.written.has(path) ? text : usual).split(',').filter(Boolean);
        /** @param {string} option */
        const toggle = (option) => {
            const next = chosen.includes(option) ? chosen.filter((other) => other !== option) : [...chosen, option];
            draft.write(path, next.join(','), shape);
            changed();
        };
        return html`<div class="choices" role="group" aria-labelledby="${id}-label" aria-describedby=${described} id=${id}>
            ${shape.options.map(
                (option) => html`<label class="check">
                    <input type="checkbox" .checked=${live(chosen.includes(option))} @change=${() => toggle(option)} />${words(option)}
                </label>`,
            )}
        </div>`;
    }
    if (shape.kind === 'lines' || shape.kind === 'json') {
        const hint = usual || (shape.kind === 'lines' ? 'one a line' : 'JSON');
        return html`<textarea id=${id} rows="2"
            aria-describedby=${described} aria-invalid=${invalid} placeholder=${hint} spellcheck="false" .value=${live(text)} @input=${write}></textarea>`;
    }
    const mode = shape.kind === 'number' ? 'decimal' : shape.kind === 'integer' ? 'numeric' : 'text';
    return html`<input id=${id} inputmode=${mode}
        aria-describedby=${described} aria-invalid=${invalid} placeholder=${usual} autocomplete="off" spellcheck="false" .value=${live(text)} @input=${write} />`;
}

/**
 * What holds without a word: what the earlier job had, else the default.
 *
 * @param {Form} form
 * @param {string} path
 * @param {Shape} shape
 */
function usualText({ earlier }, path, shape) {
    /** @type {any} */
    let value = earlier ?? undefined;
    for (const name of earlier ? path.split('.') : []) value = value?.[name];
    return textOf(shape, value ?? shape.byDefault);
}
