/** Why this Node.js cannot load a file because it is TypeScript; empty if it can, or the file is not. */
export function typeScriptUnavailable(path: string): string {
  if (!/\.[cm]?ts$/.test(path)) return '';
  if ((process.features as { typescript?: unknown }).typescript) return '';
  return (
    `${path} is TypeScript, which Node.js ${process.versions.node} does not load by itself: use Node.js 22.18 or ` +
    'newer, or compile it and give the .js file'
  );
}
