import { readFileSync } from 'node:fs'

/** The files of the host. Paths are given without a leading slash. */
export interface HostFiles {
  /** Whether they are the files that this process sees as `/`. */
  readonly isOwn: boolean
  /** @throws the error of `fs` */
  text(path: string): string
  /** The same, or `undefined` if there is no such file or it may not be read. */
  optionalText(path: string): string | undefined
}

/** The files below a folder; by default those that this process sees. */
export function hostFiles(folder = ''): HostFiles {
  const text = (path: string): string => readFileSync(`${folder}/${path}`, 'utf8')
  return {
    isOwn: folder === '',
    text,
    optionalText(path) {
      try {
        return text(path)
      } catch {
        return undefined
      }
    },
  }
}
