// What has been written into the form: texts by their path in the spec, such as `fine_tune.lr`, and the spec that they make.

import { valueOf } from './schema.js';

/** @import { Shape } from './schema.js' */

export class Draft {
    constructor() {
        /** What was written, where it is not empty. @type {Map<string, { text: string, shape: Shape }>} */
        this.written = new Map();
        /** @type {Set<string>} Sections that are null instead of an object. */
        this.off = new Set();
    }

    /** @param {string} path */
    text(path) {
        return this.written.get(path)?.text ?? '';
    }

    /**
     * @param {string} path
     * @param {string} text
     * @param {Shape} shape
     */
    write(path, text, shape) {
        if (text.trim() === '' && shape.kind !== 'choices') this.written.delete(path);
        else this.written.set(path, { text, shape });
    }

    /** How many fields of a section say something. @param {string} section */
    count(section) {
        return [...this.written.keys()].filter((path) => path === section || path.startsWith(`${section}.`)).length;
    }

    /**
     * The spec, and what of it cannot be read.
     *
     * @returns {{ spec: Record<string, any>, problems: Map<string, string> }}
     */
    spec() {
        /** @type {Record<string, any>} */
        const spec = {};
        /** @type {Map<string, string>} */
        const problems = new Map();
        for (const [path, { text, shape }] of this.written) {
            const names = path.split('.');
            if (this.off.has(names[0])) continue;
            const found = valueOf(shape, text);
            if ('error' in found) {
                problems.set(path, found.error);
                continue;
            }
            let at = spec;
            for (const name of names.slice(0, -1)) at = at[name] ??= {};
            at[/** @type {string} */ (names.at(-1))] = found.value;
        }
        for (const name of this.off) spec[name] = null;
        return { spec, problems };
    }
}
