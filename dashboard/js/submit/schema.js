// The schemas of the API's description, as far as a form needs them.

/** @import { Schema } from '../types.js' */

/** @typedef {{ components: { schemas: Record<string, Schema> } }} Description */

/**
 * What a field is, with references followed: its kind, whether nothing may be said, and the words that describe it.
 *
 * @typedef {'object' | 'choice' | 'number' | 'integer' | 'boolean' | 'text' | 'choices' | 'lines' | 'numbers' | 'json'} Kind
 * @typedef {{ kind: Kind, schema: Schema, description: string, options: string[], isNullable: boolean, byDefault: unknown }} Shape
 */

/**
 * @param {Schema} schema
 * @param {Description} api
 * @returns {Shape}
 */
export function shapeOf(schema, api) {
    let found = schema;
    let description = schema.description ?? '';
    const byDefault = schema.default;
    let isNullable = false;
    for (let depth = 0; depth < 8; depth += 1) {
        if (found.$ref) {
            found = api.components.schemas[found.$ref.split('/').at(-1) ?? ''] ?? {};
        } else if (found.oneOf?.some(isNull)) {
            isNullable = true;
            const others = found.oneOf.filter((option) => !isNull(option));
            found = others.length === 1 ? others[0] : { ...found, oneOf: others };
            description ||= found.description ?? '';
        } else break;
    }
    description ||= found.description ?? '';
    if (Array.isArray(found.type)) {
        isNullable ||= found.type.includes('null');
        found = { ...found, type: found.type.find((name) => name !== 'null') };
    }
    return { ...kindOf(found, api), schema: found, description, isNullable, byDefault };
}

/** @param {Schema} schema */
function isNull(schema) {
    return schema.type === 'null';
}

/**
 * @param {Schema} schema
 * @param {Description} api
 * @returns {{ kind: Kind, options: string[] }}
 */
function kindOf(schema, api) {
    if (schema.enum) return { kind: 'choice', options: schema.enum };
    if (schema.type === 'object' && schema.properties && Object.keys(schema.properties).length > 0)
        return { kind: 'object', options: [] };
    if (schema.type === 'boolean') return { kind: 'boolean', options: [] };
    if (schema.type === 'integer' || schema.type === 'number') return { kind: schema.type, options: [] };
    if (schema.type === 'string') return { kind: 'text', options: [] };
    if (schema.type === 'array' && schema.items) {
        const items = shapeOf(schema.items, api);
        if (items.kind === 'choice') return { kind: 'choices', options: items.options };
        if (items.kind === 'text') return { kind: 'lines', options: [] };
        if (items.kind === 'number' || items.kind === 'integer') return { kind: 'numbers', options: [] };
    }
    const alternatives = schema.oneOf ?? [];
    if (alternatives.length > 0 && alternatives.some(isListOfNumbers)) return { kind: 'numbers', options: [] };
    if (alternatives.some(({ type }) => type === 'boolean') && alternatives.some(({ type }) => type === 'string'))
        return { kind: 'choice', options: ['auto', 'true', 'false'] };
    return { kind: 'json', options: [] };
}

/** @param {Schema} schema */
function isListOfNumbers({ type, items }) {
    return type === 'array' && (items?.type === 'number' || items?.type === 'integer');
}

/**
 * What was written into a field as the value that the spec has; an error says what was expected.
 *
 * @param {Shape} shape
 * @param {string} text
 * @returns {{ value: unknown } | { error: string }}
 */
export function valueOf({ kind, options }, text) {
    const trimmed = text.trim();
    if (kind === 'number' || kind === 'integer') {
        const number = Number(trimmed.replace(/[_\u202f ]/g, ''));
        if (trimmed === '' || !Number.isFinite(number)) return { error: `${trimmed} is no number.` };
        if (kind === 'integer' && !Number.isInteger(number)) return { error: `${trimmed} is no whole number.` };
        return { value: number };
    }
    if (kind === 'boolean') return { value: trimmed === 'true' };
    if (kind === 'choice' && options.includes('true'))
        return { value: trimmed === 'auto' ? trimmed : trimmed === 'true' };
    if (kind === 'choice' || kind === 'text') return { value: trimmed };
    if (kind === 'choices') return { value: trimmed === '' ? [] : trimmed.split(',') };
    if (kind === 'lines')
        return {
            value: trimmed
                .split('\n')
                .map((line) => line.trim())
                .filter(Boolean),
        };
    if (kind === 'numbers' && !trimmed.startsWith('[')) {
        const numbers = trimmed
            .split(/[\s,;×]+/)
            .filter(Boolean)
            .map(Number);
        if (numbers.length === 0 || !numbers.every(Number.isFinite))
            return { error: 'Numbers are expected, with commas between them.' };
        return { value: numbers };
    }
    try {
        return { value: JSON.parse(trimmed) };
    } catch {
        return { error: 'JSON is expected, such as [1, 2] or {"name": "value"}.' };
    }
}

/**
 * A value as it is written into its field.
 *
 * @param {Shape} shape
 * @param {unknown} value
 */
export function textOf({ kind }, value) {
    if (value === undefined || value === null) return '';
    if (kind === 'lines' && Array.isArray(value)) return value.join('\n');
    if (kind === 'choices' && Array.isArray(value)) return value.join(',');
    if (kind === 'numbers' && Array.isArray(value) && value.every((item) => typeof item === 'number'))
        return value.join(', ');
    return typeof value === 'object' ? JSON.stringify(value) : String(value);
}
