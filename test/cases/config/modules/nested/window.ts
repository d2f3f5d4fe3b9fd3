export const defaultWindow: string = '1m'
