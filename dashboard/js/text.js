// Numbers, times and names as people read them.

import { html } from '../vendor/lit-html/lit-html.js';

/** @import { Drawn, Target } from './types.js' */

const WHOLE = new Intl.NumberFormat('en');
const SHORT = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 });

/** @param {number} number */
export function whole(number) {
    return WHOLE.format(number);
}

/**
 * 2532992 is 2.53 M.
 *
 * @param {number | null | undefined} number
 */
export function short(number) {
    if (number === null || number === undefined) return '–';
    for (const [size, letter] of /** @type {[number, string][]} */ ([
        [1e12, 'T'],
        [1e9, 'G'],
        [1e6, 'M'],
        [1e3, 'k'],
    ])) {
        if (Math.abs(number) >= size) return `${SHORT.format(number / size)}\u00a0${letter}`;
    }
    return SHORT.format(number);
}

/** @param {number | null | undefined} bytes */
export function bytes(bytes) {
    if (bytes === null || bytes === undefined) return '–';
    return bytes < 1000 ? `${bytes}\u00a0B` : `${short(bytes)}B`;
}

/**
 * @param {number | null | undefined} share
 * @param {number} [digits]
 */
export function percent(share, digits = 1) {
    if (share === null || share === undefined) return '–';
    return `${(100 * share).toFixed(digits)}\u00a0%`;
}

/**
 * A change in percent, with a real minus sign.
 *
 * @param {number} before
 * @param {number} after
 */
export function change(before, after) {
    if (before === 0) return '–';
    const share = after / before - 1;
    return `${share < 0 ? '−' : '+'}${(100 * Math.abs(share)).toFixed(1)}\u00a0%`;
}

/** @param {number | null | undefined} number */
export function figure(number) {
    if (number === null || number === undefined) return '–';
    if (number !== 0 && (Math.abs(number) < 1e-3 || Math.abs(number) >= 1e6)) return number.toExponential(2);
    return String(Number(number.toPrecision(4)));
}

/** @param {number | null | undefined} seconds */
export function duration(seconds) {
    if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return '–';
    if (seconds < 1) return seconds < 0.05 ? '0 s' : `${seconds.toFixed(1)} s`;
    if (seconds < 60) return `${Math.round(seconds)} s`;
    const minutes = Math.floor(seconds / 60);
    if (minutes < 60) return `${minutes} min ${Math.round(seconds % 60) % 60} s`;
    const hours = Math.floor(minutes / 60);
    if (hours < 48) return `${hours} h ${minutes % 60} min`;
    return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/**
 * @param {string | null | undefined} from
 * @param {string | null | undefined} [to] Now, when it is not given.
 */
export function secondsBetween(from, to) {
    if (!from) return null;
    return Math.max(0, ((to ? Date.parse(to) : Date.now()) - Date.parse(from)) / 1000);
}

/** @param {string} at */
export function ago(at) {
    const seconds = secondsBetween(at) ?? 0;
    if (seconds < 45) return 'just now';
    if (seconds < 3600) return `${Math.max(1, Math.round(seconds / 60))} min ago`;
    if (seconds < 86400) return `${Math.round(seconds / 3600)} h ago`;
    if (seconds < 7 * 86400) return `${Math.round(seconds / 86400)} d ago`;
    return new Date(at).toLocaleDateString('en', { year: 'numeric', month: 'short', day: 'numeric' });
}

/**
 * A time with its full form for whoever points at it.
 *
 * @param {string | null | undefined} at
 * @returns {Drawn}
 */
export function time(at) {
    if (!at) return '–';
    const full = new Date(at).toLocaleString('en', { dateStyle: 'medium', timeStyle: 'medium' });
    return html`<time datetime=${at} title=${full}>${ago(at)}</time>`;
}

/** @param {string} word `light_tune` */
export function words(word) {
    return word.replaceAll('_', ' ');
}

/** @param {string} text */
export function capital(text) {
    return text.charAt(0).toUpperCase() + text.slice(1);
}

/**
 * The digits by which people tell ids apart.
 *
 * @param {string} id
 */
export function shortId(id) {
    return id.length > 16 ? `…${id.slice(-8)}` : id;
}

/** @type {Record<string, string>} */
export const METRICS = {
    flops_reduction: 'MACs',
    params_reduction: 'parameters',
    channel_reduction: 'channels',
    latency_reduction: 'latency',
};

/** @param {Target} target */
export function metricOf(target) {
    return Object.keys(METRICS).find((name) => typeof target[name] === 'number') ?? 'flops_reduction';
}

/** @param {Target} target */
export function targetText(target) {
    const metric = metricOf(target);
    return `−${percent(target[metric] ?? 0, 0)} ${METRICS[metric]}`;
}

/**
 * A description with its `code` set apart; all of it is text.
 *
 * @param {string} text
 * @returns {Drawn}
 */
export function prose(text) {
    return text.split('`').map((part, place) => (place % 2 === 1 ? html`<code>${part}</code>` : part));
}

/** @param {string} name A method, ranking or baseline. */
export function originText(name) {
    const known = /** @type {Record<string, string>} */ ({
        sensitivity: 'Search by sensitivity',
        similarity: 'Search by similarity',
        regression: 'Search by regression',
        greedy_sensitivity: 'Greedy by sensitivity',
        uniform: 'Uniform',
        global_l1: 'Global L1',
        global_l2: 'Global L2',
        config: 'Replayed configuration',
    });
    return known[name] ?? capital(words(name));
}
