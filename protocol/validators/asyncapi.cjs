// The AsyncAPI document by its own parser, and the schemas with their examples by Ajv.
// NODE_PATH=…/node_modules node asyncapi.cjs PROTOCOL-FOLDER; says what is wrong and ends with 1, or
// "valid".
const { readFileSync } = require('node:fs');
const { join } = require('node:path');
const { Parser, fromFile } = require('@asyncapi/parser');
const Ajv2020 = require('ajv/dist/2020');

const folder = process.argv[2];
const read = (...path) => JSON.parse(readFileSync(join(folder, ...path), 'utf8'));

async function main() {
  const faults = [];
  const parsed = await fromFile(new Parser(), join(folder, 'asyncapi.yaml')).parse();
  for (const d of parsed.diagnostics) {
    // 0 is an error, 1 a warning; the rest is advice.
    if (d.severity <= 1) faults.push(`asyncapi.yaml ${d.path.join('/')}: ${d.message}`);
  }
  const operations = parsed.document ? parsed.document.operations().length : 0;
  if (operations < 9) faults.push(`asyncapi.yaml: ${operations} operations were understood`);

  // Formats such as uint64 are notes of the generator's.
  const ajv = new Ajv2020({ strict: false, validateFormats: false });
  for (const [schema, examples] of Object.entries(read('examples', 'index.json'))) {
    const check = ajv.compile(read('schema', schema));
    for (const example of examples) {
      if (!check(read('examples', example))) {
        faults.push(`${example} against ${schema}: ${ajv.errorsText(check.errors)}`);
      }
    }
  }
  console.log(faults.length ? faults.join('\n') : 'valid');
  process.exitCode = faults.length ? 1 : 0;
}
main();
