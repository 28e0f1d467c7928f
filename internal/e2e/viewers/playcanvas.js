// The PlayCanvas engine, which SuperSplat's viewer is built on, on WebGL 2.
import * as pc from 'playcanvas';

// The engine's parser of SPZ takes a decoder of Zstandard from the application.
async function addSPZ(app) {
	const { SpzParser } = await import('playcanvas/parsers/spz-parser.mjs');
	pc.WasmModule.setConfig('ZstdDecoderModule', { glueUrl: '/zstd.js', wasmUrl: '/zstd.js' });
	app.loader.getHandler('gsplat').addParser(new SpzParser(app));
}

function load(app, kind, url) {
	return new Promise((done, failed) => {
		const asset = new pc.Asset(url, kind, { url, filename: url.split('/').pop() });
		asset.on('load', () => done(asset));
		asset.on('error', e => failed(new Error(e)));
		app.assets.add(asset);
		app.assets.load(asset);
	});
}

export async function look(canvas, url, view) {
	const device = await pc.createGraphicsDevice(canvas, { deviceTypes: ['webgl2'], antialias: false, preserveDrawingBuffer: true });
	device.maxPixelRatio = 1;
	const options = new pc.AppOptions();
	options.graphicsDevice = device;
	options.componentSystems = [pc.CameraComponentSystem, pc.GSplatComponentSystem, pc.RenderComponentSystem];
	options.resourceHandlers = [pc.GSplatHandler, pc.ContainerHandler, pc.TextureHandler];
	const app = new pc.AppBase(canvas);
	app.init(options);
	app.setCanvasResolution(pc.RESOLUTION_FIXED, view.width, view.height);
	try {
		if (url.endsWith('.spz')) await addSPZ(app);
		if (!view.asItComes) app.scene.gsplat.antiAlias = true; // splats are trained so; of its own, the engine draws them in the classic mode

		let asset = await load(app, url.endsWith('.glb') ? 'container' : 'gsplat', url);
		if (url.endsWith('.glb')) asset = asset.resource.gsplats?.[0];
		if (!asset) throw new Error('no splat in it');
		const splat = new pc.Entity();
		splat.addComponent('gsplat', { asset });
		app.root.addChild(splat);

		const camera = new pc.Entity();
		camera.addComponent('camera', { clearColor: new pc.Color(0, 0, 0, 1), fov: view.fov, nearClip: view.near, farClip: view.far });
		camera.setPosition(...view.eye);
		camera.lookAt(new pc.Vec3(...view.at), new pc.Vec3(...view.up));
		app.root.addChild(camera);

		let ready = 0;
		app.systems.gsplat.on('frame:ready', (c, layer, sorted, loading) => { if (sorted && !loading) ready++; });
		app.start();
		while (ready < 3) await new Promise(done => requestAnimationFrame(done));
		app.render();
		const picture = canvas.toDataURL('image/png');
		const resource = asset.resource;
		return { count: resource.numSplats ?? resource.gsplatData?.numSplats, picture };
	} finally {
		app.destroy();
	}
}
