// Spark, on three.js's WebGLRenderer. Sorting is asynchronous: update() waits for it.
import * as THREE from 'three';
import { SparkRenderer, SplatMesh } from '@sparkjsdev/spark';

export async function look(canvas, url, view) {
	const renderer = new THREE.WebGLRenderer({ canvas, antialias: false, preserveDrawingBuffer: true });
	renderer.setSize(view.width, view.height, false);
	renderer.setClearColor(0x000000, 1);
	const scene = new THREE.Scene();
	// In the order of the depth along the axis, in which splats are trained; of its own, Spark sorts by distance and cuts at 2.83 standard deviations.
	const settings = view.asItComes ? {} : { sortRadial: false, maxStdDev: view.cut ?? 3 };
	const spark = new SparkRenderer({ renderer, autoUpdate: false, ...settings });
	scene.add(spark);
	const mesh = new SplatMesh({ url });
	await mesh.initialized;
	scene.add(mesh);
	const camera = new THREE.PerspectiveCamera(view.fov, view.width / view.height, view.near, view.far);
	camera.position.set(...view.eye);
	camera.up.set(...view.up);
	camera.lookAt(...view.at);
	scene.updateMatrixWorld(true);
	camera.updateMatrixWorld(true);
	for (let i = 0; i < 3; i++) { // the shader of the mesh is made on the way
		await spark.update({ scene, camera });
		renderer.render(scene, camera);
	}
	const picture = canvas.toDataURL('image/png');
	const count = mesh.numSplats;
	renderer.dispose();
	return { count, picture };
}
