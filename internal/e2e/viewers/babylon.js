// Babylon.js with its loaders. What it would fetch from a public address while it loads comes from this server.
const script = src => new Promise((done, failed) => {
	document.head.append(Object.assign(document.createElement('script'), { src, onload: done, onerror: () => failed(new Error(src)) }));
});

async function library() {
	if (window.BABYLON?.SPLATFileLoader) return window.BABYLON;
	await script('/modules/babylonjs/babylon.js');
	await script('/modules/babylonjs-loaders/babylonjs.loaders.min.js');
	await script('/modules/fflate/umd/index.js');
	return window.BABYLON;
}

// settled draws until the picture stays the same: sorting and levels of detail come when they do, and nothing says when they are there.
async function settled(canvas, scene) {
	let last = '', same = 0;
	for (let i = 0; i < 300; i++) {
		scene.render();
		const picture = canvas.toDataURL('image/png');
		same = picture === last ? same + 1 : 0;
		if (i > 20 && same > 8) break;
		last = picture;
		await new Promise(done => setTimeout(done, 30));
	}
	return last;
}

export async function look(canvas, url, view) {
	const B = await library();
	B.GaussianSplattingMaterial.Compensation = !view.asItComes; // splats are trained so; of its own, Babylon.js draws them in the classic mode
	const engine = new B.Engine(canvas, false, { preserveDrawingBuffer: true, antialias: false });
	try {
		const scene = new B.Scene(engine);
		// Where its loaders put a point of the file: splats are mirrored in y for the left-handed axes, streamed SOG is taken to have z up,
		// and glTF opens as it is in right-handed axes.
		const gltf = url.endsWith('.glb'), streamed = url.endsWith('lod-meta.json');
		scene.useRightHandedSystem = gltf;
		const vector = ([x, y, z]) => streamed ? new B.Vector3(x, z, y) : new B.Vector3(x, gltf ? y : -y, z);
		scene.clearColor = new B.Color4(0, 0, 0, 1);
		const options = { flipY: false, fflate: window.fflate, spzLibraryUrl: new URL('/modules/@adobe/spz/dist/spz.js', location).href, disableAutoCameraLimits: true };
		await B.ImportMeshAsync(url, scene, { pluginOptions: { splat: options } });
		const camera = new B.FreeCamera('camera', vector(view.eye), scene);
		camera.upVector = vector(view.up);
		camera.setTarget(vector(view.at));
		camera.fov = view.fov * Math.PI / 180;
		camera.minZ = view.near;
		camera.maxZ = view.far;
		await scene.whenReadyAsync();
		const splats = scene.meshes.filter(m => m.splatCount);
		if (!view.mesh && !splats.length) throw new Error('no splat in it');
		const picture = await settled(canvas, scene);
		const count = splats.length ? splats.reduce((n, m) => n + m.splatCount, 0) : scene.meshes.reduce((n, m) => n + m.getTotalIndices() / 3, 0);
		return { count, picture };
	} finally {
		engine.dispose();
	}
}
