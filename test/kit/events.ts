/** The fields of a line of the log. */
export type LoggedFields = Readonly<Record<string, unknown>>

/** The lines of a log that have an `event`, in either encoding. */
export function eventsOf(log: string): LoggedFields[] {
  return log.split('\n').flatMap((line) => {
    const json = /^\{.*"event":.*\}$|\{"event":.*\}/.exec(line)?.[0]
    return json === undefined ? [] : [JSON.parse(json) as LoggedFields]
  })
}

/** The latest line of this event that has these fields. */
export function latestOf(log: string, event: string, fields: LoggedFields = {}): LoggedFields | undefined {
  const expected = Object.entries({ event, ...fields })
  return eventsOf(log).findLast((line) => expected.every(([name, value]) => line[name] === value))
}

/** The `host:port` that a line of the event `listening` names. */
export function addressOf({ address, url }: LoggedFields): string {
  return typeof address === 'string' ? address : new URL(url as string).host
}
