/**
 * Writes `diagnostics.md` from the closed lists of codes. A test compares it with a fresh one.
 *
 * Run: `deno run -A docs/generate_diagnostics.ts`
 *
 * @module
 */
import { visibleLines } from "../cmd/output/visible.ts";
import { type Code, type CodeEntry, CODES } from "../policy/codes.ts";
import { CODE_EXAMPLES, type Example, EXAMPLE_POLICY } from "../policy/code_examples.ts";
import { EXAMPLE_PARTS } from "../policy/example_text.ts";
import { HOST_CODES, type HostCodeEntry } from "../policy/host_codes.ts";

const HEADER = `# Diagnostics

Generated from \`policy/codes.ts\`, \`policy/code_examples.ts\` and \`policy/host_codes.ts\`; not to be edited.

Every diagnostic has a code. \`BG1…\` are about policies and need no host: \`bargate validate\` finds
them. \`BG2…\` are about a policy on a host: \`bargate preflight\` finds them, and \`bargate plan\` those that
decide about the plan (\`BG21…\`: in the file that \`--inventory\` names; \`BG23…\`: \`bargate export\`,
about the file that \`--plan\` names). Examples
show the lines that differ from this policy, which is valid:

\`\`\`yaml
${shown(EXAMPLE_POLICY, EXAMPLE_POLICY)}
\`\`\`
`;

/** The lines of an example that take the place of those of the valid policy. */
function shown(example: Example, like: Example): string {
  if (example.text !== undefined) return visibleLines(example.text);
  const parts = EXAMPLE_PARTS.flatMap((part) =>
    like[part] === undefined
      ? []
      : [example[part] ?? EXAMPLE_POLICY[part as keyof typeof EXAMPLE_POLICY] ?? []]
  ).flat();
  const second = example.second === undefined
    ? []
    : [`# and a second document with\n${example.second}`];
  return visibleLines([...parts, ...second].join("\n"));
}

function fenced(text: string): string {
  return `\`\`\`yaml\n${text}\n\`\`\`\n`;
}

function policySection(code: Code, entry: CodeEntry): string {
  const { wrong, right = EXAMPLE_POLICY } = CODE_EXAMPLES[code];
  const example = `Wrong:\n\n${fenced(shown(wrong, wrong))}`;
  const mended = wrong.text === undefined
    ? `\nRight:\n\n${fenced(shown(right, { ...wrong, ...CODE_EXAMPLES[code].right }))}`
    : "";
  return `${heading(code, entry.severity, entry)}\n${example}${mended}`;
}

function heading(
  code: string,
  severity: string,
  { title, why, fix }: { readonly title: string; readonly why: string; readonly fix: string },
): string {
  return `<a id="${code}"></a>

## ${code}: ${title}

*${severity}.* ${why}

To mend it: ${fix}
`;
}

function hostSection(code: string, entry: HostCodeEntry): string {
  const kind = entry.denied ? `${entry.severity}, a refusal` : entry.severity;
  return heading(code, kind, entry);
}

/** The page's text. */
export function diagnosticsPage(): string {
  const policy = Object.entries(CODES).map(([code, entry]) => policySection(code as Code, entry));
  const host = Object.entries(HOST_CODES).map(([code, entry]) => hostSection(code, entry));
  return [HEADER, ...policy, ...host].join("\n");
}

if (import.meta.main) {
  await Deno.writeTextFile(new URL("./diagnostics.md", import.meta.url), diagnosticsPage());
}
