import { setFlagsFromString } from 'node:v8'

/*
 * undici reads answers with WebAssembly. V8 takes 40 MiB for a moment to compile it again with its optimizing compiler, and 8 to 13 MiB
 * of them stay (docs/decisions/0240-profile-of-the-process.md). Answers are short: the first compiler's code is fast enough for them.
 */

setFlagsFromString('--no-wasm-tier-up')
// Either alone leaves the other way to it open.
setFlagsFromString('--no-wasm-dynamic-tiering')
