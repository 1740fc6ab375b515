import assert from "node:assert/strict";
import { LineMap } from "../../policy/lines.ts";
import { get } from "../../policy/node.ts";
import { parseYaml } from "../../policy/yaml.ts";

Deno.test("megabytes of blanks and comments inside brackets are read, and end where they end", () => {
  const fillers = [" ".repeat(10_000_000), "\n ".repeat(500_000), " #\n ".repeat(500_000)];
  for (const filler of fillers) {
    const text = `kind: P\nmetadata: { name: x ${filler} }\nlist: [ a ${filler}] # end\n`;
    const { documents: [root], diagnostics } = parseYaml(text, new LineMap("a.yaml", text));
    assert.ok(root !== undefined);
    assert.deepEqual(diagnostics, []);
    assert.equal(text[(get(root, "metadata")?.end ?? 0) - 1], "}");
    assert.equal(get(root, "list")?.end, text.length - " # end\n".length);
  }
});
