/**
 * The full text of an example of `code_examples.ts`.
 *
 * @module
 */
import { type Example, EXAMPLE_POLICY } from "./code_examples.ts";

/** The parts of an example, in the order of a policy file. */
export const EXAMPLE_PARTS = [
  "apiVersion",
  "kind",
  "metadata",
  "devices",
  "importers",
  "exports",
  "deny",
] as const;

/**
 * Completes an example with the parts that it leaves as they are.
 *
 * @returns one file
 */
export function exampleFile(example: Example): string | Uint8Array {
  if (example.bytes !== undefined) return example.bytes();
  if (example.text !== undefined) return example.text;
  const parts: Example = { ...EXAMPLE_POLICY, ...example };
  const first = joinParts(parts);
  if (example.second === undefined) return first;
  const second = example.second.includes("kind:")
    ? `${example.second}\n`
    : joinParts({ ...parts, metadata: example.second });
  return `${first}---\n${second}`;
}

function joinParts(parts: Example): string {
  return EXAMPLE_PARTS.flatMap((part) => parts[part] === undefined ? [] : [`${parts[part]}\n`])
    .join("");
}
