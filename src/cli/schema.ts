import { configSchema } from '../pipeline/config/schema.ts'

/** Prints the JSON Schema of the whole configuration. */
export async function printSchema(): Promise<void> {
  process.stdout.write(`${JSON.stringify(await configSchema(), null, 2)}\n`)
}
