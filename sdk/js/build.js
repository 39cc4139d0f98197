// Makes a component of `app.js` of a directory: `node build.js APP_DIR WIT_DIR TOOLS OUT`.
//
// `TOOLS` is a `node_modules` with esbuild, which makes one file of the contract and all that it
// imports, and componentize-qjs, which puts that file and an interpreter into a component.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const sdk = dirname(fileURLToPath(import.meta.url));
const [app, wit, tools, out] = process.argv.slice(2).map((path) => resolve(path));
const require = createRequire(join(tools, "none.js"));
const esbuild = require("esbuild");
const { componentize } = require("componentize-qjs");

/** One file of `text` and all that it imports. */
async function bundled(text, options) {
  const result = await esbuild.build({
    stdin: { contents: text, resolveDir: app, sourcefile: "component.js" },
    absWorkingDir: app,
    alias: { althing: join(sdk, "src/index.js") },
    bundle: true,
    format: "esm",
    // Names stay as they are written: they stand in the stacks that are logged.
    charset: "utf8",
    target: "es2023",
    write: false,
    ...options,
  });
  return result.outputFiles[0].text;
}

/** What the contract says of itself, when it is run here: what is wrong with it is said by Node. */
async function checked() {
  const contract = JSON.stringify(join(sdk, "src/contract.js"));
  const text = `import contract from "./app.js"; import { kindOf } from ${contract};
    export default kindOf(contract);`;
  const dir = await mkdtemp(join(tmpdir(), "althing-"));
  try {
    const file = join(dir, "check.mjs");
    await writeFile(file, await bundled(text, { platform: "node" }));
    return (await import(pathToFileURL(file))).default;
  } finally {
    await rm(dir, { recursive: true });
  }
}

async function main() {
  const { isContract, migrates } = await checked();
  if (!isContract) throw new Error("app.js: wants `export default contract({ ... })`");
  const guest = JSON.stringify(join(sdk, "src/guest.js"));
  const exports = migrates ? "apply, query, migration" : "apply, query";
  const text = `import contract from "./app.js"; import { exported } from ${guest};
    export const { ${exports} } = exported(contract);`;
  const source = await bundled(text, {
    platform: "neutral",
    mainFields: ["module", "main"],
    external: ["althing:*"],
  });
  const { component } = await componentize({
    witPath: wit,
    world: migrates ? "migrating-contract" : "contract",
    jsSource: source,
    // Without the component model's own asynchrony, which contracts have not.
    sync: true,
  });
  await writeFile(out, component);
}

await main().catch((error) => {
  // esbuild has shown its errors, with the lines of the sources.
  if (!error.errors) console.error(error.stack ?? String(error));
  process.exit(1);
});
