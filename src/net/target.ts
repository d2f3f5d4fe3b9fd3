interface Target {
  readonly path: string
  /** The `host:port` of an absolute target, which counts instead of the header `Host`. */
  readonly authority: string | undefined
}

/** Reads a request's target, `/path?query` or `http://host:port/path?query`: servers have to take both (RFC 9112, 3.2.2). */
export function readTarget(url = '/'): Target {
  const [, authority, path] = /^(?:https?:\/\/([^/?]*))?([^?]*)/i.exec(url) as RegExpExecArray
  return { path: path === '' ? '/' : path, authority }
}
