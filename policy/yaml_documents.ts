/**
 * Where the documents of a YAML file begin, for a file whose syntax is broken: a mistake in one
 * document shall not hide those of the next.
 *
 * @module
 */
import { type Event, EVENT_ID } from "./yaml_events.js";

/** `[start, end)` in the text. */
export interface Stretch {
  readonly start: number;
  readonly end: number;
}

/**
 * Cuts a file at its document markers. `---` and `...` at the start of a line are markers wherever
 * they stand (YAML 1.2.2, 9.1.2: no scalar may hold them there), in block scalars and quotes too.
 *
 * @param text of the file
 * @returns the stretches, in order, which together are the whole text; a `---` with the directives
 * before it goes with what follows it
 *
 * @example
 * ```ts
 * import { documentStretches } from "./yaml_documents.ts";
 * import assert from "node:assert/strict";
 *
 * const text = "a: [\n---\nb: |\n  ---\n";
 * assert.deepEqual(documentStretches(text), [{ start: 0, end: 5 }, { start: 5, end: 20 }]);
 * ```
 */
export function documentStretches(text: string): readonly Stretch[] {
  const cuts = [0];
  // Whether something stands between the last cut and here that a `---` is not the start of.
  let begun = false;
  for (const line of text.matchAll(/[^\r\n]*(?:\r\n|\n|\r|$)/g)) {
    const [content] = line;
    if (/^---(?:[ \t\r\n]|$)/.test(content)) {
      if (begun) cuts.push(line.index);
      begun = true;
    } else if (/^\.\.\.(?:[ \t\r\n]|$)/.test(content)) {
      cuts.push(line.index + content.length);
      begun = false;
    } else if (!/^(?:[ \t]*(?:#.*)?$|%)/.test(content.trimEnd())) begun = true;
  }
  const ends = [...cuts.slice(1), text.length];
  return cuts.map((start, index) => ({ start, end: ends[index] ?? text.length }))
    .filter(({ start, end }) => start < end);
}

/**
 * Finds the directives of a file, known to YAML or not: lines that start with `%` before all else of
 * their document. Elsewhere such a line is part of a text.
 *
 * @param text of the file
 *
 * @example
 * ```ts
 * import { directivesOf } from "./yaml_documents.ts";
 * import assert from "node:assert/strict";
 *
 * assert.deepEqual(directivesOf("%FOO bar\n---\na: |\n %BAR\n"), [{ start: 0, end: 8 }]);
 * ```
 */
export function directivesOf(text: string): readonly Stretch[] {
  if (!/^%/m.test(text)) return [];
  return documentStretches(text).flatMap(({ start }) => headDirectives(text, start));
}

function headDirectives(text: string, from: number): readonly Stretch[] {
  const found: Stretch[] = [];
  // Line by line: one expression for all of them takes stack for each.
  const line = /(%[^\r\n]*|[ \t]*(?:#[^\r\n]*)?)(?:\r\n|\n|\r)/y;
  line.lastIndex = from;
  for (let match = line.exec(text); match !== null; match = line.exec(text)) {
    const [, { length } = ""] = match;
    if (text[match.index] === "%") found.push({ start: match.index, end: match.index + length });
  }
  return found;
}

/**
 * Events of a stretch with their places in the whole text.
 *
 * @param events of the stretch alone
 * @param by where the stretch starts
 */
export function shifted(events: readonly Event[], by: number): readonly Event[] {
  return by === 0 ? events : events.map((event) => shiftedEvent(event, by));
}

function shiftedEvent(event: Event, by: number): Event {
  const moved = (place: number) => place < 0 ? place : place + by;
  switch (event.type) {
    case EVENT_ID.DOCUMENT:
    case EVENT_ID.POP:
      return event;
    case EVENT_ID.ALIAS:
      return {
        ...event,
        anchorStart: moved(event.anchorStart),
        anchorEnd: moved(event.anchorEnd),
      };
    case EVENT_ID.SCALAR:
      return {
        ...event,
        ...properties(event, moved),
        valueStart: moved(event.valueStart),
        valueEnd: moved(event.valueEnd),
      };
    default:
      return { ...event, ...properties(event, moved), start: moved(event.start) };
  }
}

interface Properties {
  readonly anchorStart: number;
  readonly anchorEnd: number;
  readonly tagStart: number;
  readonly tagEnd: number;
}

function properties(
  { anchorStart, anchorEnd, tagStart, tagEnd }: Properties,
  moved: (place: number) => number,
): Properties {
  return {
    anchorStart: moved(anchorStart),
    anchorEnd: moved(anchorEnd),
    tagStart: moved(tagStart),
    tagEnd: moved(tagEnd),
  };
}
