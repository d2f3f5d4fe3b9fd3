import type { Socket } from 'node:net'
import type { buildConnector } from 'undici'

const CONTINUE = Buffer.from('HTTP/1.1 100')
const INFORMATIONAL = CONTINUE.subarray(0, -2)
const END = '\r\n\r\n'

/**
 * Ignores unexpected informational answers, as RFC 9110 (15.2) requires. undici skips them, except for 100, which makes
 * it close the connection; so 100 is read as 103. A body that begins like such an answer is shown with the other digit
 * in messages.
 */
export function skippingInformational(connect: buildConnector.connector): buildConnector.connector {
  return (options, callback) =>
    connect(options, (...opened) => {
      const [error, socket] = opened
      if (error === null) readAs103(socket)
      callback(...opened)
    })
}

function readAs103(socket: Socket): void {
  const read = socket.read.bind(socket)
  socket.read = (size) => {
    const chunk = read(size) as Buffer | null
    for (let at = 0; chunk !== null && beginsWith(chunk, INFORMATIONAL, at); at = chunk.indexOf(END, at) + END.length) {
      if (beginsWith(chunk, CONTINUE, at)) chunk.write('3', at + CONTINUE.length - 1)
      if (!chunk.includes(END, at)) break
    }
    return chunk
  }
}

function beginsWith(chunk: Buffer, text: Buffer, at: number): boolean {
  return chunk.length >= at + text.length && chunk.compare(text, 0, text.length, at, at + text.length) === 0
}
