import { defineConfig } from "vite";

/** Assets are addressed relative to the page's <base>, which the server sets to wherever it is mounted. */
export default defineConfig({
  base: "./",
  publicDir: false,
  build: {
    outDir: "../src/windlass/dashboard/static",
    emptyOutDir: true,
    target: "es2022",
    assetsDir: "assets",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  worker: { format: "es" },
  plugins: [packed()],
  server: {
    proxy: { "/api": process.env.WINDLASS_URL ?? "http://127.0.0.1:8100" },
  },
  test: { include: ["tests/**/*.test.ts"], environment: "node" },
} as Parameters<typeof defineConfig>[0]);

/** Puts a .gz beside every text asset, so that the server packs nothing while it answers. */
function packed() {
  return {
    name: "packed",
    apply: "build" as const,
    async writeBundle(options: { dir?: string }, bundle: Record<string, unknown>) {
      const { readFile, writeFile } = await import("node:fs/promises");
      const { join } = await import("node:path");
      const { gzipSync } = await import("node:zlib");
      for (const name of Object.keys(bundle)) {
        if (!/\.(js|css|svg)$/.test(name) || !options.dir) continue;
        const path = join(options.dir, name);
        await writeFile(`${path}.gz`, gzipSync(await readFile(path), { level: 9 }));
      }
    },
  };
}
