import process from 'node:process'
import { parentPort } from 'node:worker_threads'

/** A thread that answers bodies that begin with 0, and ends at any other. */
parentPort.on('message', ({ body }) => {
  if (body[0] !== 0) process.exit(3)
  parentPort.postMessage({ bytes: new Uint8Array() })
})
