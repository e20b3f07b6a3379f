// A place for a file: dropped or chosen, sent at once, and what the server says of it.

import { html } from '../../vendor/lit-html/lit-html.js';
import { Problem, upload } from '../server/api.js';
import { bytes, percent, prose } from '../text.js';
import { wordsOf } from '../view/panel.js';
import { bar } from '../view/status.js';

/** @import { Drawn } from '../types.js' */

export class Drop {
    /**
     * @param {{ id: string, label: string, help: string, accept: string, path: string, changed: () => void, arrived: (answer: any) => void }} options
     */
    constructor(options) {
        this.options = options;
        /** @type {File | null} */
        this.file = null;
        /** @type {number | null} */
        this.share = null;
        this.problem = '';
        this.hint = '';
        this.isAimed = false;
        /** @type {AbortController | null} */
        this.sending = null;
    }

    /** @param {File} file */
    async take(file) {
        this.stop();
        const sending = new AbortController();
        this.sending = sending;
        this.file = file;
        this.share = 0;
        this.problem = '';
        this.hint = '';
        this.options.changed();
        try {
            const named = `${this.options.path}?name=${encodeURIComponent(file.name)}`;
            const answer = await upload(named, file, (share) => this.#progress(sending, share), sending.signal);
            if (this.sending !== sending) return;
            this.options.arrived(answer);
        } catch (error) {
            if (sending.signal.aborted) return;
            const { detail, hint } = wordsOf(error);
            this.problem = detail;
            this.hint =
                hint ?? (error instanceof Problem && error.isPassing ? 'Choose the file again to try again.' : '');
        }
        this.share = null;
        this.options.changed();
    }

    /**
     * @param {AbortController} sending
     * @param {number} share
     */
    #progress(sending, share) {
        if (this.sending !== sending) return;
        this.share = share;
        this.options.changed();
    }

    stop() {
        this.sending?.abort();
        this.sending = null;
        this.share = null;
    }

    /** @param {Drawn} told What is known of the file that is there. */
    draw(told) {
        const { id, label, help, accept } = this.options;
        const isSending = this.share !== null;
        /** @param {DragEvent} event */
        const aim = (event) => {
            event.preventDefault();
            this.#aim(true);
        };
        /** @param {DragEvent} event */
        const drop = (event) => {
            event.preventDefault();
            event.stopPropagation();
            this.#aim(false);
            const file = event.dataTransfer?.files[0];
            if (file) this.take(file);
        };
        /** @param {Event} event */
        const choose = (event) => {
            const field = /** @type {HTMLInputElement} */ (event.target);
            const file = field.files?.[0];
            if (file) this.take(file);
            field.value = '';
        };
        return html`<div class="drop ${this.isAimed ? 'aimed' : ''} ${this.problem ? 'wrong' : ''}" id="${id}-drop"
            @dragover=${aim} @dragleave=${() => this.#aim(false)} @drop=${drop}>
            <div class="field">
                <label for=${id}>${label}</label>
                <input id=${id} type="file" accept=${accept}
                    aria-describedby="${id}-help ${id}-problem" aria-invalid=${this.problem ? 'true' : 'false'} @change=${choose} />
                <p class="help" id="${id}-help">${help}</p>
                ${isSending ? this.#sent() : null}
                <p class="field-problem" id="${id}-problem" role="alert">${prose(this.problem)}</p>
                ${this.hint ? html`<p class="help">${prose(this.hint)}</p>` : null}
                ${!isSending && !this.problem ? told : null}
            </div>
        </div>`;
    }

    #sent() {
        const { name, size } = this.file ?? { name: '', size: 0 };
        const how = this.share === 1 ? 'The server looks at' : `${percent(this.share, 0)} sent of`;
        return html`${bar(this.share, `Upload of ${name}`)}<p class="sub">${how} ${name}, ${bytes(size)}</p>`;
    }

    /** @param {boolean} isAimed */
    #aim(isAimed) {
        if (this.isAimed === isAimed) return;
        this.isAimed = isAimed;
        this.options.changed();
    }
}
