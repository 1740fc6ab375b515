/** The schema in a real editor's back end: an error, a hover and completions come from it. */
import assert from "node:assert/strict";
import { LanguageServer } from "./language_server.ts";

const SCHEMA = new URL("../../policy/schema.json", import.meta.url).href;
const TEXT = `apiVersion: bargate/v1
kind: ExportPolicy
metadata: { name: demo }
devices:
  ssd:
    match: { id: "1b36:0010" }
    
surplus: 1
`;
const DOCUMENT = { uri: "file:///policies/demo.yaml" };

Deno.test("yaml-language-server completes, explains and corrects policies by our schema", async () => {
  const server = new LanguageServer("npm:yaml-language-server@2.0.0", {
    schemas: { [SCHEMA]: "*.yaml" },
    validate: true,
    hover: true,
    completion: true,
  });
  const deadline = setTimeout(() => server.close(), 60_000);
  try {
    await server.ask("initialize", {
      processId: null,
      rootUri: null,
      capabilities: {
        workspace: { configuration: true },
        textDocument: { completion: {}, hover: { contentFormat: ["markdown"] } },
      },
    });
    await server.tell("initialized", {});
    await server.tell("workspace/didChangeConfiguration", { settings: {} });
    await server.tell("textDocument/didOpen", {
      textDocument: { ...DOCUMENT, languageId: "yaml", version: 1, text: TEXT },
    });
    assert.match(
      JSON.stringify(await server.published),
      /"line":7.*Property surplus is not allowed/,
    );
    const at = (line: number, character: number) => ({
      textDocument: DOCUMENT,
      position: { line, character },
    });
    const hover = await server.ask("textDocument/hover", at(3, 2));
    assert.match(JSON.stringify(hover), /Devices by the name that rules use/);
    const completion = JSON.stringify(await server.ask("textDocument/completion", at(6, 4)));
    assert.match(completion, /"label":"acquire".*"label":"owner"/);
  } finally {
    clearTimeout(deadline);
    await server.close();
  }
});
