/**
 * The demo's timeline: for people, or an entry a line for programs.
 *
 * @module
 */
import type { DemoEntry, DemoStep } from "../demo_story.ts";
import { eventText } from "./event_text.ts";
import type { Style } from "./style.ts";
import { visible, visibleLines } from "./visible.ts";
import { jsonText } from "./json_text.ts";

const NUMBERS: Readonly<Record<DemoStep, number>> = {
  validate: 1,
  plan: 2,
  export: 3,
  reset: 4,
  end: 5,
};

const HEAD =
  "Bargate on a simulated host: no device, no root. Processes, descriptors and their ends are real.\n";

/** Writes the timeline for people. */
export class DemoText {
  #step: DemoStep | undefined;

  /** @param style colours */
  constructor(private readonly style: Style) {}

  /** What comes first. */
  head(): string {
    return HEAD;
  }

  /** @returns the entry, under the heading of its step where that begins */
  entry(entry: DemoEntry): string {
    const begins = entry.step !== this.#step;
    this.#step = entry.step;
    const heading = `\n${this.style.strong(`${NUMBERS[entry.step]}. ${entry.step}`)}\n`;
    return `${begins ? heading : ""}${this.#text(entry)}\n`;
  }

  #text(entry: DemoEntry): string {
    if (entry.source === "demo") return indented(visibleLines(entry.text));
    if (entry.source === "bargate") return `   bargate   ${eventText(entry.event, this.style)}`;
    const { time, text } = entry.said;
    const at = this.style.faint(time.toISOString().slice(11, 23));
    return `   importer  ${at} ${visible(text)}`;
  }
}

function indented(text: string): string {
  return text.split("\n").map((line) => line === "" ? "" : `   ${line}`).join("\n");
}

/**
 * One line of JSON.
 *
 * @param entry what happened
 */
export function demoJson(entry: DemoEntry): string {
  const { step, source } = entry;
  const told = entry.source === "demo"
    ? { text: entry.text, ...entry.facts }
    : entry.source === "bargate"
    ? { event: entry.event }
    : { time: entry.said.time.toISOString(), text: entry.said.text };
  return `${jsonText({ v: 1, simulated: true, step, source, ...told })}\n`;
}
