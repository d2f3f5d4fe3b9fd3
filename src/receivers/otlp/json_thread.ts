import { parentPort } from 'node:worker_threads'
import { errorMessage } from '../../errors.ts'
import { MalformedError } from '../../otlp/wire/check.ts'
import { readJson } from './json_body.ts'
import type { Answer, Question } from './large_json.ts'

/*
 * The thread of `LargeJson`. It answers each question with its protobuf, in order.
 */

const port = parentPort!

port.on('message', (question: Question) => {
  const answer = read(question)
  // The bytes have a buffer of their own, which moves to the other thread without a copy.
  port.postMessage(answer, 'bytes' in answer ? [answer.bytes.buffer as ArrayBuffer] : [])
})

function read({ signal, body, maxMessages }: Question): Answer {
  try {
    return { bytes: readJson(signal, body, maxMessages) }
  } catch (error) {
    return { message: errorMessage(error), isMalformed: error instanceof MalformedError }
  }
}
